@description('Name of the virtual network.')
@minLength(2)
@maxLength(64)
param name string

param location string
param tags object

@description('Name of the app\'s subnet. Flex Consumption does not allow an underscore.')
param appSubnetName string

@description('Name of the subnet of the private endpoints.')
param endpointSubnetName string

resource virtualNetwork 'Microsoft.Network/virtualNetworks@2025-05-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    addressSpace: { addressPrefixes: ['10.20.0.0/18'] }
    // Not as child resources: a second deployment of the network without subnets would ask
    // Azure to remove subnets that are in use.
    subnets: [
      {
        name: appSubnetName
        properties: {
          // An address for each possible instance: 1,000 in each of up to 8 function groups.
          // A subnet in use cannot grow, so it has this size from the start.
          addressPrefix: '10.20.0.0/19'
          // Newer API versions make subnets private by default, but the app calls Microsoft Graph.
          defaultOutboundAccess: true
          delegations: [
            { name: 'flex-consumption', properties: { serviceName: 'Microsoft.App/environments' } }
          ]
        }
      }
      {
        name: endpointSubnetName
        properties: {
          addressPrefix: '10.20.32.0/27'
          defaultOutboundAccess: false
          privateEndpointNetworkPolicies: 'Disabled'
        }
      }
    ]
  }
}
