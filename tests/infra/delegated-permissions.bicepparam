using '../../infra/graph/delegated-permissions.bicep'

param entraClientId = '11111111-1111-4111-8111-111111111111'
