// Consents, for all users of the tenant, that the app asks Microsoft Graph for people's own meetings
// on their behalf. It is a separate deployment, because it needs the role Cloud Application
// Administrator, which the person who makes the registration may not have.
//   python scripts/retry_deployment.py \
//     az deployment group create --resource-group GROUP \
//     --template-file infra/graph/delegated-permissions.bicep \
//     --parameters entraClientId=ENTRA_CLIENT_ID
// It can be run again: there is one grant for the registration and Graph, and it gets the permissions
// of this file. A permission that was added to that grant by hand is removed.
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
