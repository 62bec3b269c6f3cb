// Gives a registration the URI with which callers request tokens. The extension changes the
// properties in this file and leaves the others.
extension microsoftGraphV1

@description('Unique name of the registration.')
param uniqueName string

@description('Its display name, which the extension requires.')
param displayName string

@description('Its client id.')
param appId string

resource application 'Microsoft.Graph/applications@v1.0' = {
  uniqueName: uniqueName
  displayName: displayName
  identifierUris: ['api://${appId}']
}
