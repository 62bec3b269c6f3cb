@description('Storage account of the host and the queues.')
param storageAccountName string

@description('Vault of the webhooks\' secrets.')
param keyVaultName string

@description('Application Insights component of the app.')
param applicationInsightsName string

@description('Names of the queues: requests, poison, results, deliveries, deliveriesPoison, deadLetters.')
param queues object

@description('Object id of the app\'s identity.')
param principalId string

@description('Principals that put requests on the queue, with the operators: objects of id and type, each once.')
param queueSenders array

@description('Principals that take results from the queue, with the operators: objects of id and type, each once.')
param queueReaders array

@description('Principals that set secrets and handle dead letters: objects of id and type, each once.')
param operators array

// https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
var definitions = '${subscription().id}/providers/Microsoft.Authorization/roleDefinitions'
var roles = {
  keyVaultSecretsOfficer: '${definitions}/b86a8fe4-44ce-4948-aee5-eccb2c155cd7'
  keyVaultSecretsUser: '${definitions}/4633458b-17de-408a-b874-0445c86b69e6'
  monitoringMetricsPublisher: '${definitions}/3913510d-42f4-4e42-8a64-420c390055eb'
  storageBlobDataOwner: '${definitions}/b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
  storageQueueDataContributor: '${definitions}/974c5e8b-45b9-4653-ba55-5f855dd0fb88'
  storageQueueDataMessageProcessor: '${definitions}/8a0f0c08-91a1-4084-bc3d-661d67233fed'
  storageQueueDataMessageSender: '${definitions}/c6a89b2d-59bc-44d0-9896-0f6e12d7b80a'
  storageTableDataContributor: '${definitions}/0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3'
}

resource storage 'Microsoft.Storage/storageAccounts@2025-01-01' existing = {
  name: storageAccountName
}

resource queueService 'Microsoft.Storage/storageAccounts/queueServices@2025-01-01' existing = {
  parent: storage
  name: 'default'
}

var queueNames = [
  queues.requests
  queues.poison
  queues.results
  queues.deliveries
  queues.deliveriesPoison
  queues.deadLetters
]

resource everyQueue 'Microsoft.Storage/storageAccounts/queueServices/queues@2025-01-01' existing = [
  for queueName in queueNames: {
    parent: queueService
    name: queueName
  }
]

resource requestQueue 'Microsoft.Storage/storageAccounts/queueServices/queues@2025-01-01' existing = {
  parent: queueService
  name: queues.requests
}

resource resultQueue 'Microsoft.Storage/storageAccounts/queueServices/queues@2025-01-01' existing = {
  parent: queueService
  name: queues.results
}

resource deliveryQueue 'Microsoft.Storage/storageAccounts/queueServices/queues@2025-01-01' existing = {
  parent: queueService
  name: queues.deliveries
}

resource deadLetterQueue 'Microsoft.Storage/storageAccounts/queueServices/queues@2025-01-01' existing = {
  parent: queueService
  name: queues.deadLetters
}

resource vault 'Microsoft.KeyVault/vaults@2025-05-01' existing = {
  name: keyVaultName
}

resource applicationInsights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: applicationInsightsName
}

// The app's identity. The host creates containers for keys and leases, and tables for diagnostic
// events, so these roles need the account's scope.
resource appHost 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in [roles.storageBlobDataOwner, roles.storageTableDataContributor]: {
    name: guid(storage.id, principalId, role)
    scope: storage
    properties: {
      roleDefinitionId: role
      principalId: principalId
      principalType: 'ServicePrincipal'
    }
  }
]

// Contributor, because the roles for messages do not suffice for the host to put a message back.
resource appQueues 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for (queueName, index) in queueNames: {
    name: guid(everyQueue[index].id, principalId, roles.storageQueueDataContributor)
    scope: everyQueue[index]
    properties: {
      roleDefinitionId: roles.storageQueueDataContributor
      principalId: principalId
      principalType: 'ServicePrincipal'
    }
  }
]

resource appSecrets 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault.id, principalId, roles.keyVaultSecretsUser)
  scope: vault
  properties: {
    roleDefinitionId: roles.keyVaultSecretsUser
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}

resource appTelemetry 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(applicationInsights.id, principalId, roles.monitoringMetricsPublisher)
  scope: applicationInsights
  properties: {
    roleDefinitionId: roles.monitoringMetricsPublisher
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}

// Workflows and their makers: a connection acts as the person who signed in to it.
resource senders 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for sender in queueSenders: {
    name: guid(requestQueue.id, sender.id, roles.storageQueueDataMessageSender)
    scope: requestQueue
    properties: {
      roleDefinitionId: roles.storageQueueDataMessageSender
      principalId: sender.id
      principalType: sender.type
    }
  }
]

resource readers 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for reader in queueReaders: {
    name: guid(resultQueue.id, reader.id, roles.storageQueueDataMessageProcessor)
    scope: resultQueue
    properties: {
      roleDefinitionId: roles.storageQueueDataMessageProcessor
      principalId: reader.id
      principalType: reader.type
    }
  }
]

// Operators set webhook secrets, and read and delete dead letters. For requests and results they
// are among the senders and readers.
resource operatorSecrets 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for operator in operators: {
    name: guid(vault.id, operator.id, roles.keyVaultSecretsOfficer)
    scope: vault
    properties: {
      roleDefinitionId: roles.keyVaultSecretsOfficer
      principalId: operator.id
      principalType: operator.type
    }
  }
]

resource operatorDeadLetters 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for operator in operators: {
    name: guid(deadLetterQueue.id, operator.id, roles.storageQueueDataMessageProcessor)
    scope: deadLetterQueue
    properties: {
      roleDefinitionId: roles.storageQueueDataMessageProcessor
      principalId: operator.id
      principalType: operator.type
    }
  }
]

// To put a delivery's dead letter back.
resource operatorDeliveries 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for operator in operators: {
    name: guid(deliveryQueue.id, operator.id, roles.storageQueueDataMessageSender)
    scope: deliveryQueue
    properties: {
      roleDefinitionId: roles.storageQueueDataMessageSender
      principalId: operator.id
      principalType: operator.type
    }
  }
]
