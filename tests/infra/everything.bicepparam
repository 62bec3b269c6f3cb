// Every parameter away from its default, and the longest environment name there can be.
using '../../infra/main.bicep'

param environmentName = 'the-longest-environment-name-of-sixty-four-characters-in-all-001'
param location = 'swedencentral'
param resourceGroupName = 'appointments'
param tags = { costCentre: '4711' }
param instanceMemoryMB = 512
param maximumInstanceCount = 1000
param alwaysReadyHttpInstances = 2
param storageSku = 'Standard_ZRS'
param vnetEnabled = true
param entraClientId = '11111111-1111-4111-8111-111111111111'
param webhookSources = {
  calcom: { preset: 'calcom', secret: 'webhook-calcom' }
}
param deliveries = {
  crm: { url: 'https://crm.example.org/hooks/links', secret: 'delivery-crm', sources: ['calcom', null] }
  flow: { urlSecret: 'delivery-flow-url', secret: 'delivery-flow', outcomes: ['failed'] }
}
param resultsQueue = 'unclaimed'
param retentionDays = 7
param graphVersion = 'beta'
param graphTimeoutSeconds = 20
param queueRetryHours = 48
param deriveMeetingId = true
param queueSenders = [
  { id: '22222222-2222-4222-8222-222222222222', type: 'User' }
  { id: '33333333-3333-4333-8333-333333333333', type: 'ServicePrincipal' }
]
param queueReaders = [
  { id: '33333333-3333-4333-8333-333333333333', type: 'ServicePrincipal' }
  { id: '77777777-7777-4777-8777-777777777777', type: 'Group' }
]
param operatorPrincipalId = '44444444-4444-4444-8444-444444444444'
param operatorPrincipalType = 'Group'
param deployerPrincipalId = '88888888-8888-4888-8888-888888888888'
param deployerPrincipalType = 'ServicePrincipal'
param alertEmail = 'operations@example.org'
param dailyLogQuotaGb = 5
