"""The policies for the app registration. A policy yields one sentence for each violation."""

from collections.abc import Callable, Iterator
from typing import Any

from shared.core.remediation import ASSERTION_AUDIENCE, DELEGATED_PERMISSIONS, GRAPH_APP_ID
from shared.identity.bearer_tokens import APP_ROLE, SCOPE

Resources = list[dict[str, Any]]
RegistrationPolicy = Callable[[Resources], Iterator[str]]

APPLICATION = "Microsoft.Graph/applications@v1.0"
CREDENTIAL = "Microsoft.Graph/applications/federatedIdentityCredentials@v1.0"
GRANT = "Microsoft.Graph/oauth2PermissionGrants@v1.0"
_ISSUER_START = "[format('{0}{1}/v2.0', environment().authentication.loginEndpoint, '"


def of_type(resources: Resources, kind: str) -> list[dict[str, Any]]:
    """Return the properties of each resource of a type."""
    return [resource["properties"] for resource in resources if resource["type"] == kind]


def permissions_are_the_apps(resources: Resources) -> Iterator[str]:
    """One scope and one app role: those that the app checks, for the right kinds of callers."""
    (application, *_) = of_type(resources, APPLICATION)
    scopes, roles = application["api"]["oauth2PermissionScopes"], application["appRoles"]
    if [scope["value"] for scope in scopes] != [SCOPE]:
        yield "the scopes are not the app's"
    if [role["value"] for role in roles] != [APP_ROLE]:
        yield "the app roles are not the app's"
    for scope in scopes:
        if scope["type"] != "User" or "own meetings" not in scope["userConsentDisplayName"]:
            yield "a person's consent is not to their own meetings"
    for role in roles:
        if sorted(role["allowedMemberTypes"]) != ["Application", "User"]:
            yield "the app role is not for applications and people"


def no_scope_is_named_as_a_role(resources: Resources) -> Iterator[str]:
    """Entra refuses a scope and a role with one name, or with one id and different names."""
    for application in of_type(resources, APPLICATION):
        scopes = application.get("api", {}).get("oauth2PermissionScopes", [])
        for member in ("value", "id"):
            names = [one[member] for one in (*scopes, *application.get("appRoles", []))]
            if len(set(names)) != len(names):
                yield f"a scope and an app role share their {member}"


def tokens_say_what_the_app_reads(resources: Resources) -> Iterator[str]:
    """Version 2, with the claims that tell guests, applications and clients with challenges."""
    (application, *_) = of_type(resources, APPLICATION)
    claims = {claim["name"] for claim in application["optionalClaims"]["accessToken"]}
    if not claims >= {"acct", "idtyp", "xms_cc"}:
        yield "an optional claim is missing"
    if application["api"]["requestedAccessTokenVersion"] != 2:
        yield "the tokens are not of version 2"


def credential_is_the_identity(resources: Resources) -> Iterator[str]:
    """Entra accepts wrong values. They would fail at the first exchange."""
    (application, *_) = of_type(resources, APPLICATION)
    credentials = of_type(resources, CREDENTIAL)
    if len(credentials) != 1:
        yield "there is not one federated credential"
    for credential in credentials:
        parent, _, name = credential["name"].partition("/")
        if parent != application["uniqueName"] or not 3 <= len(name) <= 120:
            yield "the credential is not a child of its registration"
        if not credential["issuer"].startswith(_ISSUER_START):
            yield "the issuer is not this tenant's of version 2"
        if credential["subject"] != "22222222-2222-4222-8222-222222222222":
            yield "the subject is not the identity's principal id"
        if credential["audiences"] != [ASSERTION_AUDIENCE]:
            yield "the audience is not that of an exchange"


def registration_has_no_secret(resources: Resources) -> Iterator[str]:
    """The managed identity is its only credential, and it is no public client."""
    for application in of_type(resources, APPLICATION):
        for name in ("passwordCredentials", "keyCredentials", "isFallbackPublicClient"):
            if application.get(name):
                yield f"the registration has {name}"


def graph_permissions_are_delegated_ones(resources: Resources) -> Iterator[str]:
    """Those that people's own meetings need, and no other."""
    (application, *_) = of_type(resources, APPLICATION)
    asked = {
        (access["resourceAppId"], permission["id"], permission["type"])
        for access in application["requiredResourceAccess"]
        for permission in access["resourceAccess"]
    }
    if asked != {(GRAPH_APP_ID, one, "Scope") for one in DELEGATED_PERMISSIONS.values()}:
        yield "other permissions of Graph are requested"


def consent_is_to_the_requested_permissions(resources: Resources) -> Iterator[str]:
    """One grant for the whole tenant, because several would overwrite each other."""
    grants = of_type(resources, GRANT)
    if len(grants) != 1:
        yield "there is not one grant"
    for grant in grants:
        if grant["consentType"] != "AllPrincipals":
            yield "the consent is not for all users"
        if set(grant["scope"].split()) != set(DELEGATED_PERMISSIONS):
            yield "the consent is to other permissions"


POLICIES: dict[str, tuple[RegistrationPolicy, ...]] = {
    "sign-in": (
        permissions_are_the_apps,
        no_scope_is_named_as_a_role,
        tokens_say_what_the_app_reads,
        credential_is_the_identity,
        registration_has_no_secret,
        graph_permissions_are_delegated_ones,
    ),
    "delegated-permissions": (consent_is_to_the_requested_permissions,),
}
