// The app registration, and consent.
using '../../infra/graph/sign-in.bicep'

param environmentName = 'sign-in'
param managedIdentityPrincipalId = '22222222-2222-4222-8222-222222222222'
