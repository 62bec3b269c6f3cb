// The app registration for HTTP_AUTH=entra: callers sign in to it, and the app checks their
// tokens. It has no secret, for nothing signs in as it.
//   python scripts/retry_deployment.py \
//     az deployment group create --resource-group GROUP --template-file infra/graph/sign-in.bicep \
//     --parameters environmentName=NAME
// Then deploy infra/main.bicep with entraClientId set to the output ENTRA_CLIENT_ID.
// It can be run again: the same environment is the same registration, and what is right stays.
// The directory has several replicas, and one that does not know the new registration yet fails
// what comes after it: hence retry_deployment.py, which runs the deployment again.
extension microsoftGraphV1

@description('Name of the environment that the registration is for, as in infra/main.bicep.')
@minLength(1)
@maxLength(64)
param environmentName string

@description('Unique name of the registration in the tenant: the same name is the same registration.')
@minLength(1)
@maxLength(120)
param uniqueName string = 'virtual-appointment-join-links-${environmentName}'

@description('Name that people see when they are asked for consent.')
@minLength(1)
@maxLength(120)
param displayName string = 'Virtual appointment join links (${environmentName})'

@description('Applications that may ask for the scope without a question to the user. For Copilot Studio, which signs in on behalf of whoever talks to an agent, that is Azure API Connections: fe053c5f-3692-4f14-aef2-ee34fc081cae.')
param preAuthorizedClientIds array = []

// Entra refuses a change of an enabled scope's or role's id: these must not differ between
// two deployments, so they follow from the name.
var scopeId = guid(uniqueName, 'JoinLink.Read')
var appRoleId = guid(uniqueName, 'JoinLink.Read.All')

resource application 'Microsoft.Graph/applications@v1.0' = {
  uniqueName: uniqueName
  displayName: displayName
  signInAudience: 'AzureADMyOrg'
  api: {
    // Version 1 tokens name another issuer.
    requestedAccessTokenVersion: 2
    oauth2PermissionScopes: [
      {
        id: scopeId
        value: 'JoinLink.Read'
        type: 'User'
        isEnabled: true
        adminConsentDisplayName: 'Get join links of virtual appointments'
        adminConsentDescription: 'Lets the app get the join links of virtual appointments for the signed-in user.'
        userConsentDisplayName: 'Get join links of virtual appointments'
        userConsentDescription: 'Lets the app get the join links of virtual appointments for you.'
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
      allowedMemberTypes: ['Application']
      displayName: 'Get join links of virtual appointments'
      description: 'Lets the app get the join links of virtual appointments without a signed-in user.'
    }
  ]
}

// In a module: a resource cannot read its own appId, and the same uniqueName a second time
// in one file is one resource too many.
module identifierUri 'identifier-uri.bicep' = {
  params: {
    uniqueName: uniqueName
    displayName: displayName
    appId: application.appId
  }
}

// Without it nobody in the tenant can be given the role, or a token.
resource servicePrincipal 'Microsoft.Graph/servicePrincipals@v1.0' = {
  appId: application.appId
}

output ENTRA_CLIENT_ID string = application.appId
output ENTRA_TENANT_ID string = tenant().tenantId
