// Grants the app's identity its permissions on Microsoft Graph. It is a separate deployment,
// because it needs a role that Azure's Owner does not include: Privileged Role Administrator.
//   python scripts/retry_deployment.py \
//     az deployment group create --resource-group GROUP --template-file infra/graph/main.bicep \
//     --parameters managedIdentityPrincipalId=MANAGED_IDENTITY_PRINCIPAL_ID
// Run it before the first code is deployed: tokens are cached for up to 24 hours, and a token
// that was issued before the grant lacks it. It can be run again: an existing grant stays.
// An identity that is a few minutes old may not be found yet. Then retry_deployment.py runs the
// deployment again.
extension microsoftGraphV1

@description('Object id of the app\'s managed identity: the output MANAGED_IDENTITY_PRINCIPAL_ID.')
@minLength(36)
@maxLength(36)
param managedIdentityPrincipalId string

@description('Permissions to grant. The join link needs only the first. OnlineMeetings.Read.All finds a meeting by its Teams link or number, and User.ReadBasic.All an organizer by mail address.')
@minLength(1)
param permissions ('VirtualAppointment.Read.All' | 'OnlineMeetings.Read.All' | 'User.ReadBasic.All')[] = [
  'VirtualAppointment.Read.All'
]

// https://learn.microsoft.com/graph/permissions-reference
var appRoleIds = {
  'VirtualAppointment.Read.All': 'd4f67ec2-59b5-4bdc-b4af-d78f6f9c1954'
  'OnlineMeetings.Read.All': 'c1684f21-1984-47fa-9d61-2dc8c296bb70'
  'User.ReadBasic.All': '97235f07-e226-4f63-ace3-39588e11d3a1'
}

resource graph 'Microsoft.Graph/servicePrincipals@v1.0' existing = {
  appId: '00000003-0000-0000-c000-000000000000'
}

resource grants 'Microsoft.Graph/appRoleAssignedTo@v1.0' = [
  for permission in permissions: {
    principalId: managedIdentityPrincipalId
    resourceId: graph.id
    appRoleId: appRoleIds[permission]
  }
]
