// Everything inside the resource group. It can be deployed alone into an existing group:
//   az deployment group create --resource-group GROUP --template-file infra/resources.bicep \
//     --parameters environmentName=NAME
//
// Names and ids are computed here once and passed to the modules. Another module's output is
// unknown until Azure has deployed it, so the snapshots in tests/infra would show expressions
// instead of names. For the same reason the order of the modules is explicit (dependsOn).

@description('Name of this environment; the resource names are derived from it.')
@minLength(1)
@maxLength(64)
param environmentName string

@description('Azure region. It must offer Flex Consumption: az functionapp list-flexconsumption-locations.')
param location string = resourceGroup().location

@description('Tags for every resource.')
param tags object = {}

@description('Memory of one instance in MB. Its share of a processor is proportional to it.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int = 2048

@description('Greatest number of instances of each function group. It limits the cost and the calls to Graph. All HTTP routes are one group, and each queue trigger is another. Some regions refuse fewer than 40.')
@minValue(1)
@maxValue(1000)
param maximumInstanceCount int = 40

@description('Number of instances that are always ready for HTTP calls, so that no caller waits for a cold start. Each costs about 10 US dollars a month for each GB of its memory.')
@minValue(0)
@maxValue(40)
param alwaysReadyHttpInstances int = 0

@description('Redundancy of the storage account that holds the queues.')
@allowed(['Standard_LRS', 'Standard_ZRS', 'Standard_GRS', 'Standard_GZRS'])
param storageSku string = 'Standard_LRS'

@description('Puts storage and Key Vault behind private endpoints, with the app in a virtual network.')
param vnetEnabled bool = false

@description('Leaves storage and Key Vault open to the internet in addition to their private endpoints, while an app in use is moved into the network (vnetEnabled).')
param keepPublicAccess bool = false

@description('Client id of the app registration whose tokens the HTTP routes require. Empty: function keys.')
@maxLength(36)
param entraClientId string = ''

@description('Booking systems whose webhooks are accepted: the value of WEBHOOK_SOURCES.')
param webhookSources object = {}

@description('Where outcomes are delivered: the value of DELIVERIES. Put URLs that hold a key into the vault.')
param deliveries object = {}

@description('Which outcomes the result queue gets: all, or those that no destination selects.')
@allowed(['always', 'unclaimed'])
param resultsQueue string = 'always'

@description('Days for which results, deliveries and dead letters are kept on their queues. They hold links and patients\' data.')
@minValue(1)
@maxValue(365)
param retentionDays int = 30

@description('Version of Microsoft Graph to call.')
@allowed(['v1.0', 'beta'])
param graphVersion string = 'v1.0'

@description('Time limit of one request, in seconds.')
@minValue(1)
@maxValue(100)
param graphTimeoutSeconds int = 10

@description('Hours during which a queued request is tried again.')
@minValue(1)
@maxValue(168)
param queueRetryHours int = 24

@description('Derives the meeting id from a long Teams link, which Microsoft does not document.')
param deriveMeetingId bool = false

@description('Principals that may put requests on the queue: objects of id and type, which is User, Group or ServicePrincipal.')
@maxLength(100)
param queueSenders array = []

@description('Principals that may take results from the queue: objects of id and type, which is User, Group or ServicePrincipal.')
@maxLength(100)
param queueReaders array = []

@description('Object id of the person or group that sets webhook secrets, reads results and handles dead letters. Empty: nobody.')
@maxLength(36)
param operatorPrincipalId string = ''

@description('Principal type of operatorPrincipalId.')
@allowed(['User', 'Group'])
param operatorPrincipalType string = 'User'

@description('Object id of the person or group that deploys, with the operator\'s roles on the data. Empty: nobody.')
@maxLength(36)
param deployerPrincipalId string = ''

@description('Principal type of deployerPrincipalId.')
@allowed(['User', 'Group', 'ServicePrincipal'])
param deployerPrincipalType string = 'User'

@description('Mail address for alerts. Empty: alerts are only in the portal.')
@maxLength(254)
param alertEmail string = ''

@description('Daily limit of logs in gigabytes. After it Log Analytics accepts no more that day, and alerts do not fire.')
@minValue(1)
@maxValue(100)
param dailyLogQuotaGb int = 1

var token = uniqueString(subscription().id, resourceGroup().id, environmentName)
var names = {
  identity: 'id-${token}'
  workspace: 'log-${token}'
  applicationInsights: 'appi-${token}'
  storageAccount: 'st${token}'
  keyVault: 'kv-${token}'
  virtualNetwork: 'vnet-${token}'
  plan: 'plan-${token}'
  functionApp: 'func-${token}'
  actionGroup: 'ag-${token}'
  workbook: guid(resourceGroup().id, environmentName, 'workbook')
}
var deploymentContainerName = 'app-package'

// The queues are the app's contract with workflows, so their names are no settings.
// To `-poison` the host moves messages that ended the process at each try.
var queues = {
  requests: 'join-link-requests'
  poison: 'join-link-requests-poison'
  results: 'join-link-results'
  deliveries: 'join-link-deliveries'
  deliveriesPoison: 'join-link-deliveries-poison'
  deadLetters: 'join-link-dead-letters'
}

var queueNames = [
  queues.requests
  queues.poison
  queues.results
  queues.deliveries
  queues.deliveriesPoison
  queues.deadLetters
]

var workspaceId = resourceId('Microsoft.OperationalInsights/workspaces', names.workspace)
var storageAccountId = resourceId('Microsoft.Storage/storageAccounts', names.storageAccount)
var keyVaultId = resourceId('Microsoft.KeyVault/vaults', names.keyVault)
var virtualNetworkId = resourceId('Microsoft.Network/virtualNetworks', names.virtualNetwork)
var appSubnetName = 'app'
var endpointSubnetName = 'private-endpoints'
var publicNetworkAccess = vnetEnabled && !keepPublicAccess ? 'Disabled' : 'Enabled'

var queueServiceUri = 'https://${names.storageAccount}.queue.${environment().suffixes.storage}'
var keyVaultUri = 'https://${names.keyVault}${environment().suffixes.keyvaultDns}/'

// Each principal is an object of the same form, so that union() removes a principal that is named
// twice. Azure refuses a template with two role assignments of one name.
var operators = union(
  empty(operatorPrincipalId) ? [] : [{ id: toLower(operatorPrincipalId), type: operatorPrincipalType }],
  empty(deployerPrincipalId) ? [] : [{ id: toLower(deployerPrincipalId), type: deployerPrincipalType }]
)
var senders = [for sender in queueSenders: { id: toLower(sender.id), type: sender.type }]
var readers = [for reader in queueReaders: { id: toLower(reader.id), type: reader.type }]

// The app writes one JSON object per event, and alerts and the workbook read only these.
// The column of a missing code or source is empty. One event may count several occurrences.
// A table without a record does not exist, and Azure switches an alert off that keeps failing.
// So each query has an empty table beside it.
var eventLines = [
  'union isfuzzy=true (datatable(TimeGenerated: datetime, AppRoleName: string, Message: string)[]), AppTraces'
  '| where AppRoleName =~ "${names.functionApp}" and Message startswith "{"'
  '| extend record = parse_json(Message)'
  '| project TimeGenerated, event = tostring(record.event), code = tostring(record.code), trigger = tostring(record.trigger), source = tostring(record.source), destination = tostring(record.destination), note = tostring(record.note), requestId = tostring(record.requestId), durationMs = todouble(record.durationMs), attempts = toint(record.attempts), graphCalls = toint(record.graphCalls), occurrences = iff(isnull(record.occurrences), 1, toint(record.occurrences))'
]
var events = join(eventLines, '\n')

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: names.identity
  location: location
  tags: tags
}

module monitoring 'modules/monitoring.bicep' = {
  params: {
    workspaceName: names.workspace
    applicationInsightsName: names.applicationInsights
    location: location
    tags: tags
    dailyQuotaGb: dailyLogQuotaGb
  }
}

module storage 'modules/storage.bicep' = {
  params: {
    name: names.storageAccount
    location: location
    tags: tags
    skuName: storageSku
    deploymentContainerName: deploymentContainerName
    queueNames: queueNames
    publicNetworkAccess: publicNetworkAccess
    workspaceId: workspaceId
  }
  dependsOn: [monitoring]
}

module keyVault 'modules/key-vault.bicep' = {
  params: {
    name: names.keyVault
    location: location
    tags: tags
    publicNetworkAccess: publicNetworkAccess
    workspaceId: workspaceId
  }
  dependsOn: [monitoring]
}

module network 'modules/network.bicep' = if (vnetEnabled) {
  params: {
    name: names.virtualNetwork
    location: location
    tags: tags
    appSubnetName: appSubnetName
    endpointSubnetName: endpointSubnetName
  }
}

module privateEndpoints 'modules/private-endpoints.bicep' = if (vnetEnabled) {
  params: {
    token: token
    location: location
    tags: tags
    virtualNetworkId: virtualNetworkId
    subnetId: '${virtualNetworkId}/subnets/${endpointSubnetName}'
    storageAccountId: storageAccountId
    keyVaultId: keyVaultId
  }
  dependsOn: [network, storage, keyVault]
}

module roles 'modules/roles.bicep' = {
  params: {
    storageAccountName: names.storageAccount
    keyVaultName: names.keyVault
    applicationInsightsName: names.applicationInsights
    queues: queues
    principalId: identity.properties.principalId
    queueSenders: union(senders, operators)
    queueReaders: union(readers, operators)
    operators: operators
  }
  dependsOn: [monitoring, storage, keyVault]
}

// After the roles and the private endpoints. A host that starts without them fails, and tries
// again only later.
module functionApp 'modules/function-app.bicep' = {
  params: {
    name: names.functionApp
    planName: names.plan
    location: location
    tags: tags
    identityId: identity.id
    identityClientId: identity.properties.clientId
    storageAccountName: names.storageAccount
    deploymentContainerName: deploymentContainerName
    applicationInsightsName: names.applicationInsights
    subnetId: vnetEnabled ? '${virtualNetworkId}/subnets/${appSubnetName}' : ''
    instanceMemoryMB: instanceMemoryMB
    maximumInstanceCount: maximumInstanceCount
    alwaysReadyHttpInstances: alwaysReadyHttpInstances
    settings: {
      GRAPH_VERSION: graphVersion
      #disable-next-line no-hardcoded-env-urls // the operation exists in the global cloud only
      GRAPH_ROOT: 'https://graph.microsoft.com'
      GRAPH_TIMEOUT_SECONDS: string(graphTimeoutSeconds)
      MANAGED_IDENTITY_CLIENT_ID: identity.properties.clientId
      KEY_VAULT_URI: keyVaultUri
      WEBHOOK_SOURCES: string(webhookSources)
      DELIVERIES: string(deliveries)
      RESULTS_QUEUE: resultsQueue
      RETENTION_DAYS: string(retentionDays)
      QUEUE_RETRY_HOURS: string(queueRetryHours)
      DERIVE_MEETING_ID: deriveMeetingId ? 'true' : 'false'
      HTTP_AUTH: empty(entraClientId) ? 'key' : 'entra'
      ENTRA_TENANT_ID: tenant().tenantId
      ENTRA_CLIENT_ID: entraClientId
      #disable-next-line no-hardcoded-env-urls // as GRAPH_ROOT
      ENTRA_AUTHORITY: 'https://login.microsoftonline.com'
    }
  }
  dependsOn: [roles, privateEndpoints]
}

module alerts 'modules/alerts.bicep' = {
  params: {
    token: token
    location: location
    tags: tags
    actionGroupName: names.actionGroup
    email: alertEmail
    workspaceId: workspaceId
    events: events
    storageAccountName: names.storageAccount
    requestQueueName: queues.requests
  }
  dependsOn: [monitoring]
}

module workbook 'modules/workbook.bicep' = {
  params: {
    name: names.workbook
    location: location
    tags: tags
    workspaceId: workspaceId
    events: events
  }
  dependsOn: [monitoring]
}

output functionAppName string = names.functionApp
output functionAppUrl string = functionApp.outputs.url
output keyVaultName string = names.keyVault
output keyVaultUri string = keyVaultUri
output queueServiceUri string = queueServiceUri
output managedIdentityClientId string = identity.properties.clientId
output managedIdentityPrincipalId string = identity.properties.principalId
