// Storage and Key Vault behind private endpoints.
using '../../infra/main.bicep'

param environmentName = 'vnet'
param location = 'westeurope'
param vnetEnabled = true
