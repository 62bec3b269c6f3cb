// An environment in use on its way behind private endpoints: they are there, and what was open
// is open still.
using '../../infra/main.bicep'

param environmentName = 'moving'
param location = 'westeurope'
param vnetEnabled = true
param keepPublicAccess = true
