@description('Suffix that makes the names in this deployment unique.')
param token string

param location string
param tags object

@description('Id of the virtual network that resolves the private addresses.')
param virtualNetworkId string

@description('Id of the subnet of the endpoints.')
param subnetId string

@description('Id of the storage account.')
param storageAccountId string

@description('Id of the vault.')
param keyVaultId string

var storageSuffix = environment().suffixes.storage
var endpoints = [
  { group: 'blob', target: storageAccountId, zone: 'privatelink.blob.${storageSuffix}' }
  { group: 'queue', target: storageAccountId, zone: 'privatelink.queue.${storageSuffix}' }
  { group: 'table', target: storageAccountId, zone: 'privatelink.table.${storageSuffix}' }
  {
    group: 'vault'
    target: keyVaultId
    zone: 'privatelink${replace(environment().suffixes.keyvaultDns, '.vault.', '.vaultcore.')}'
  }
]

resource zones 'Microsoft.Network/privateDnsZones@2024-06-01' = [
  for endpoint in endpoints: {
    name: endpoint.zone
    location: 'global'
    tags: tags
  }
]

resource zoneLinks 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [
  for (endpoint, index) in endpoints: {
    parent: zones[index]
    name: 'link-${token}'
    location: 'global'
    tags: tags
    properties: {
      registrationEnabled: false
      virtualNetwork: { id: virtualNetworkId }
    }
  }
]

resource privateEndpoints 'Microsoft.Network/privateEndpoints@2025-05-01' = [
  for endpoint in endpoints: {
    name: 'pe-${endpoint.group}-${token}'
    location: location
    tags: tags
    properties: {
      subnet: { id: subnetId }
      privateLinkServiceConnections: [
        {
          name: endpoint.group
          properties: { privateLinkServiceId: endpoint.target, groupIds: [endpoint.group] }
        }
      ]
    }
  }
]

resource zoneGroups 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2025-05-01' = [
  for (endpoint, index) in endpoints: {
    parent: privateEndpoints[index]
    name: 'default'
    properties: {
      privateDnsZoneConfigs: [
        { name: endpoint.group, properties: { privateDnsZoneId: zones[index].id } }
      ]
    }
  }
]
