// Callers sign in with Entra.
using '../../infra/main.bicep'

param environmentName = 'entra'
param location = 'westeurope'
param entraClientId = '11111111-1111-4111-8111-111111111111'
