// The whole deployment: a resource group and everything in it. `azd provision`
// fills the parameters from main.parameters.json; with plain Azure CLI:
//   az deployment sub create --location LOCATION --template-file infra/main.bicep \
//     --parameters environmentName=NAME location=LOCATION
targetScope = 'subscription'

@description('Name of this environment; the resource names are derived from it.')
@minLength(1)
@maxLength(64)
param environmentName string

@description('Azure region. It must offer Flex Consumption: az functionapp list-flexconsumption-locations.')
@minLength(1)
@metadata({ azd: { type: 'location' } })
param location string

@description('Name of the resource group. Empty: rg- and the environment name.')
@maxLength(90)
param resourceGroupName string = ''

@description('Tags for every resource, in addition to azd\'s own.')
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

@description('Puts storage and Key Vault behind private endpoints, with the app in a virtual network. Senders and readers of the queues, and operators who set secrets, must then be in that network.')
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

var allTags = union(tags, { 'azd-env-name': environmentName })

resource resourceGroup 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: empty(resourceGroupName) ? 'rg-${environmentName}' : resourceGroupName
  location: location
  tags: allTags
}

module resources 'resources.bicep' = {
  scope: resourceGroup
  params: {
    environmentName: environmentName
    location: location
    tags: allTags
    instanceMemoryMB: instanceMemoryMB
    maximumInstanceCount: maximumInstanceCount
    alwaysReadyHttpInstances: alwaysReadyHttpInstances
    storageSku: storageSku
    vnetEnabled: vnetEnabled
    keepPublicAccess: keepPublicAccess
    entraClientId: entraClientId
    webhookSources: webhookSources
    deliveries: deliveries
    resultsQueue: resultsQueue
    retentionDays: retentionDays
    graphVersion: graphVersion
    graphTimeoutSeconds: graphTimeoutSeconds
    queueRetryHours: queueRetryHours
    deriveMeetingId: deriveMeetingId
    queueSenders: queueSenders
    queueReaders: queueReaders
    operatorPrincipalId: operatorPrincipalId
    operatorPrincipalType: operatorPrincipalType
    deployerPrincipalId: deployerPrincipalId
    deployerPrincipalType: deployerPrincipalType
    alertEmail: alertEmail
    dailyLogQuotaGb: dailyLogQuotaGb
  }
}

// azd keeps these in its environment, where main.parameters.json and the scripts find them.
output AZURE_LOCATION string = location
output AZURE_TENANT_ID string = tenant().tenantId
output AZURE_RESOURCE_GROUP string = resourceGroup.name
output FUNCTION_APP_NAME string = resources.outputs.functionAppName
output FUNCTION_APP_URL string = resources.outputs.functionAppUrl
output KEY_VAULT_NAME string = resources.outputs.keyVaultName
output KEY_VAULT_URI string = resources.outputs.keyVaultUri
output QUEUE_SERVICE_URI string = resources.outputs.queueServiceUri
output MANAGED_IDENTITY_CLIENT_ID string = resources.outputs.managedIdentityClientId
output MANAGED_IDENTITY_PRINCIPAL_ID string = resources.outputs.managedIdentityPrincipalId
