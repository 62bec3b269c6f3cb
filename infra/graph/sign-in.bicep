// The app registration for HTTP_AUTH=entra: callers sign in to it, and the app checks their
// tokens. It has no secret: when the app calls Graph on a person's behalf, its managed identity is
// the registration's credential.
//   python scripts/retry_deployment.py \
//     az deployment group create --resource-group GROUP --template-file infra/graph/sign-in.bicep \
//     --parameters environmentName=NAME \
//     managedIdentityPrincipalId=MANAGED_IDENTITY_PRINCIPAL_ID
// The identity comes first: deploy infra/main.bicep without entraClientId, then this, then
// infra/graph/delegated-permissions.bicep, then infra/main.bicep with entraClientId set to the
// output ENTRA_CLIENT_ID. It needs the role Cloud Application Administrator.
// It can be run again: the same environment has the same registration, and right values stay.
// A replica of the directory may not have the new registration yet. Then the deployment fails, and
// retry_deployment.py runs it again.
extension microsoftGraphV1

@description('Name of the environment that the registration is for, as in infra/main.bicep.')
@minLength(1)
@maxLength(64)
param environmentName string

@description('Object id of the app\'s managed identity: the output MANAGED_IDENTITY_PRINCIPAL_ID. Not its client id.')
@minLength(36)
@maxLength(36)
param managedIdentityPrincipalId string

@description('Whether only people and applications that an administrator assigns to the registration get a token for it.')
param assignmentRequired bool = false

@description('Unique name of the registration in the tenant. A deployment with the same name changes the same registration.')
@minLength(1)
@maxLength(120)
param uniqueName string = 'virtual-appointment-join-links-${environmentName}'

@description('Name that people see when asked for consent.')
@minLength(1)
@maxLength(120)
param displayName string = 'Virtual appointment join links (${environmentName})'

@description('Applications that get the scope without the user\'s consent. Copilot Studio, which signs in on behalf of an agent\'s user, needs Azure API Connections: fe053c5f-3692-4f14-aef2-ee34fc081cae.')
@maxLength(20)
param preAuthorizedClientIds array = []

// Entra refuses to change the id of an enabled scope or role. The ids must be the same in each
// deployment, so they are derived from the name.
var scopeId = guid(uniqueName, 'JoinLink.Read')
var appRoleId = guid(uniqueName, 'JoinLink.Read.All')

// https://learn.microsoft.com/graph/permissions-reference
var graphAppId = '00000003-0000-0000-c000-000000000000'
var delegatedPermissionIds = {
  'VirtualAppointment.Read': '27470298-d3b8-4b9c-aad4-6334312a3eac'
  'OnlineMeetings.Read': '9be106e1-f4e3-4df5-bdff-e4bc531cbe43'
}

resource application 'Microsoft.Graph/applications@v1.0' = {
  uniqueName: uniqueName
  displayName: displayName
  signInAudience: 'AzureADMyOrg'
  api: {
    // Version 1 tokens have another issuer.
    requestedAccessTokenVersion: 2
    oauth2PermissionScopes: [
      {
        id: scopeId
        value: 'JoinLink.Read'
        type: 'User'
        isEnabled: true
        adminConsentDisplayName: 'Get the join links of people\'s own meetings'
        adminConsentDescription: 'Lets the client get the virtual appointment join links of meetings that the signed-in user organizes. The service asks Microsoft Graph for them on the user\'s behalf.'
        userConsentDisplayName: 'Get the join links of your own meetings'
        userConsentDescription: 'Lets the client get the virtual appointment join links of meetings that you organize. The service asks Microsoft Graph for them on your behalf.'
      }
    ]
    preAuthorizedApplications: [
      for clientId in preAuthorizedClientIds: {
        appId: clientId
        delegatedPermissionIds: [scopeId]
      }
    ]
  }
  appRoles: [
    {
      id: appRoleId
      value: 'JoinLink.Read.All'
      isEnabled: true
      allowedMemberTypes: ['Application', 'User']
      displayName: 'Get the join links of any organizer\'s meetings'
      description: 'Lets an application, or a person such as at the reception, get the virtual appointment join links of every organizer that the service may ask for.'
    }
  ]
  optionalClaims: {
    accessToken: [
      // Whether the person is a guest, whether an application calls by itself, and whether the
      // client takes claims challenges.
      { name: 'acct' }
      { name: 'idtyp' }
      { name: 'xms_cc' }
    ]
  }
  // The permissions requested on people's behalf. delegated-permissions.bicep consents to them.
  requiredResourceAccess: [
    {
      resourceAppId: graphAppId
      resourceAccess: [
        for permission in items(delegatedPermissionIds): {
          id: permission.value
          type: 'Scope'
        }
      ]
    }
  ]

  // Its name refers to the parent, so that the parent is deployed first. Entra accepts wrong values
  // without an error.
  resource managedIdentity 'federatedIdentityCredentials@v1.0' = {
    name: '${application.uniqueName}/managed-identity'
    description: 'The function app\'s managed identity, in place of a secret.'
    issuer: '${environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0'
    subject: managedIdentityPrincipalId
    audiences: ['api://AzureADTokenExchange']
  }
}

// In a module, because a resource cannot read its own appId, and one file cannot have two
// resources with the same uniqueName.
module identifierUri 'identifier-uri.bicep' = {
  params: {
    uniqueName: uniqueName
    displayName: displayName
    appId: application.appId
  }
}

// Without it the role cannot be assigned in the tenant, and nobody gets a token.
resource servicePrincipal 'Microsoft.Graph/servicePrincipals@v1.0' = {
  appId: application.appId
  appRoleAssignmentRequired: assignmentRequired
}

output ENTRA_CLIENT_ID string = application.appId
output ENTRA_TENANT_ID string = tenant().tenantId
