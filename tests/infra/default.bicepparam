// What `azd up` gives with nothing chosen but a name and a region.
using '../../infra/main.bicep'

param environmentName = 'default'
param location = 'westeurope'
