// Gives a registration the URI that callers ask for tokens by; the extension patches what
// is named here and leaves the rest as it is.
extension microsoftGraphV1

@description('Unique name of the registration.')
param uniqueName string

@description('Its display name, which the extension wants again.')
param displayName string

@description('Its client id.')
param appId string

resource application 'Microsoft.Graph/applications@v1.0' = {
  uniqueName: uniqueName
  displayName: displayName
  identifierUris: ['api://${appId}']
}
