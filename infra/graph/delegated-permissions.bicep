// Consents, for everybody in the tenant, that the app asks Microsoft Graph for people's own meetings
// on their behalf. A deployment of its own, since it takes the role Cloud Application Administrator
// and whoever makes the registration may not hold that.
//   python scripts/retry_deployment.py \
//     az deployment group create --resource-group GROUP \
//     --template-file infra/graph/delegated-permissions.bicep \
//     --parameters entraClientId=ENTRA_CLIENT_ID
// It can be run again: there is one grant for the registration and Graph, and it says what this file
// says. A permission that somebody added to that grant by hand is taken out again.
extension microsoftGraphV1

@description('Client id of the registration: the output ENTRA_CLIENT_ID of sign-in.bicep.')
@minLength(36)
@maxLength(36)
param entraClientId string

resource graph 'Microsoft.Graph/servicePrincipals@v1.0' existing = {
  appId: '00000003-0000-0000-c000-000000000000'
}

resource servicePrincipal 'Microsoft.Graph/servicePrincipals@v1.0' existing = {
  appId: entraClientId
}

resource grant 'Microsoft.Graph/oauth2PermissionGrants@v1.0' = {
  clientId: servicePrincipal.id
  consentType: 'AllPrincipals'
  resourceId: graph.id
  scope: 'VirtualAppointment.Read OnlineMeetings.Read'
}
