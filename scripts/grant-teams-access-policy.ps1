<#
.SYNOPSIS
Lets the app act for Teams organizers, through their application access policy.

.DESCRIPTION
Needs the role Teams Administrator, and the MicrosoftTeams module (Install-Module MicrosoftTeams).
Signs in by Connect-MicrosoftTeams: in a window of its own or, where there is no screen, as in Cloud
Shell, by a code that is entered in a browser. In Cloud Shell the module is there.

One policy counts for a user: the user's own, else a group's, else the Global one. So the app is
added to the policy that counts already, which takes nothing from the apps in it; only where there
is none, the users get one that names this app. What is right already stays as it is.

.PARAMETER AppId
Client id of the app's managed identity (not its object id).

.PARAMETER User
Organizers, by object id or user principal name; several with commas between them.

.PARAMETER Group
Object id of a security group whose members organize.

.PARAMETER Rank
With -Group: where its policy stands among those of other groups, 1 counting first. Without it the
policy comes last, and takes nobody's away.

.PARAMETER Everyone
Every user who has no policy of their own or through a group.

.PARAMETER PolicyName
Name of the policy that is made where there is none.

.EXAMPLE
./grant-teams-access-policy.ps1 -AppId 00000000-0000-0000-0000-000000000000 -User a@clinic.example -WhatIf

Says what would be changed.
#>
[CmdletBinding(SupportsShouldProcess, DefaultParameterSetName = 'User')]
param(
    [Parameter(Mandatory)]
    [guid] $AppId,

    [Parameter(Mandatory, ParameterSetName = 'User')]
    [string[]] $User,

    [Parameter(Mandatory, ParameterSetName = 'Group')]
    [guid] $Group,

    [Parameter(ParameterSetName = 'Group')]
    [ValidateRange(1, 1000)]
    [int] $Rank,

    [Parameter(Mandatory, ParameterSetName = 'Everyone')]
    [switch] $Everyone,

    [ValidatePattern('^[A-Za-z0-9_-]{1,60}$')]
    [string] $PolicyName = 'virtual-appointments'
)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

# What to do, and nothing else: a test takes this function by itself and tries every case.
function Select-PolicyStep {
    param(
        [string] $Scope,
        [string] $AssignedPolicy,
        [string[]] $AssignedAppIds,
        [string[]] $GlobalAppIds,
        [string] $ThisApp
    )
    if ($AssignedPolicy) {
        if ($AssignedAppIds -contains $ThisApp) { return 'Nothing' }
        return 'AddToAssigned'
    }
    if ($GlobalAppIds -contains $ThisApp) { return 'Nothing' }
    if ($Scope -eq 'Everyone') {
        if ($GlobalAppIds) { return 'AddToGlobal' }
        return 'GrantToEveryone'
    }
    if ($GlobalAppIds) { return 'Refuse' }
    if ($Scope -eq 'Group') { return 'GrantToGroup' }
    return 'GrantToUser'
}

# Without a screen no browser opens. Cloud Shell's own sign-in does not open the Cs cmdlets either:
# https://learn.microsoft.com/microsoftteams/teams-powershell-managing-teams
function Connect-Teams {
    $linux = (Test-Path Variable:IsLinux) -and $IsLinux # Windows PowerShell does not know it
    if ($linux -and -not $env:DISPLAY -and -not $env:WAYLAND_DISPLAY) {
        Connect-MicrosoftTeams -UseDeviceAuthentication | Out-Host # which shows the code
    }
    else { Connect-MicrosoftTeams | Out-Null }
}

function Get-Policy {
    param([string] $Name)
    Get-CsApplicationAccessPolicy | Where-Object { ("$($_.Identity)" -replace '^Tag:', '') -eq $Name }
}

function Get-AppIds {
    param([string] $Name)
    Get-Policy $Name | ForEach-Object { $_.AppIds } | ForEach-Object { "$_" }
}

function Get-AssignedPolicy {
    param([string] $Scope, [string] $Name)
    if ($Scope -eq 'Everyone') { return '' }
    if ($Scope -eq 'Group') {
        $found = Get-CsGroupPolicyAssignment -PolicyType ApplicationAccessPolicy |
            Where-Object { $_.GroupId -eq $Name }
    }
    else {
        # Through a group as well; without an answer the Global policy counts.
        $found = Get-CsUserPolicyAssignment -Identity $Name -PolicyType ApplicationAccessPolicy
    }
    if (-not $found) { return '' }
    $policy = "$(@($found)[0].PolicyName)" -replace '^Tag:', ''
    # Whom the Global one covers must not pass for somebody with a policy of their own.
    if ($policy -eq 'Global') { return '' }
    return $policy
}

function Add-ThisApp {
    param([string] $Name)
    if ($PSCmdlet.ShouldProcess("policy $Name", "add app $AppId")) {
        Set-CsApplicationAccessPolicy -Identity $Name -AppIds @{ Add = "$AppId" }
    }
}

function Initialize-OwnPolicy {
    if (-not (Get-Policy $PolicyName)) {
        if ($PSCmdlet.ShouldProcess("policy $PolicyName", "make it, with app $AppId")) {
            $what = 'Virtual appointment join links'
            New-CsApplicationAccessPolicy -Identity $PolicyName -AppIds "$AppId" -Description $what
        }
    }
    elseif ((Get-AppIds $PolicyName) -notcontains "$AppId") {
        Add-ThisApp $PolicyName
    }
}

function Grant-OwnPolicy {
    param([string] $Step, [string] $Name)
    Initialize-OwnPolicy
    if (-not $PSCmdlet.ShouldProcess($Name, "grant policy $PolicyName")) { return }
    switch ($Step) {
        'GrantToUser' { Grant-CsApplicationAccessPolicy -PolicyName $PolicyName -Identity $Name }
        'GrantToEveryone' { Grant-CsApplicationAccessPolicy -PolicyName $PolicyName -Global }
        'GrantToGroup' {
            $others = @(Get-CsGroupPolicyAssignment -PolicyType ApplicationAccessPolicy)
            $place = if ($Rank) { $Rank } else { $others.Count + 1 }
            Grant-CsApplicationAccessPolicy -PolicyName $PolicyName -Group $Name -Rank $place
        }
    }
}

# Returns whether the app may act for them from now on.
function Update-Policy {
    param([string] $Scope, [string] $Name)
    $assigned = Get-AssignedPolicy $Scope $Name
    $case = @{
        Scope = $Scope
        AssignedPolicy = $assigned
        AssignedAppIds = if ($assigned) { Get-AppIds $assigned } else { @() }
        GlobalAppIds = Get-AppIds 'Global'
        ThisApp = "$AppId"
    }
    $step = Select-PolicyStep @case
    Write-Host "${Name}: $step"
    switch ($step) {
        'AddToAssigned' { Add-ThisApp $assigned | Out-Null }
        'AddToGlobal' { Add-ThisApp 'Global' | Out-Null }
        'Refuse' {
            Write-Warning ("$Name is under the Global policy, which names other apps, and a policy " +
                'of their own would take those away. Use -Everyone, which adds this app to the ' +
                'Global policy, or grant them a policy that names all of the apps.')
            return $false
        }
        { $_ -like 'Grant*' } { Grant-OwnPolicy $step $Name | Out-Null }
    }
    return $true
}

try {
    if (-not (Get-Module -ListAvailable MicrosoftTeams)) {
        throw 'The MicrosoftTeams module is missing: Install-Module MicrosoftTeams -Scope CurrentUser'
    }
    Import-Module MicrosoftTeams
    # Signing in is no change, so -WhatIf must not keep it from happening.
    try { Get-CsTenant | Out-Null }
    catch { & { $WhatIfPreference = $false; Connect-Teams } }

    $targets = switch ($PSCmdlet.ParameterSetName) {
        'User' { @($User | ForEach-Object { $_ -split ',' } | Where-Object { $_ }) }
        'Group' { @("$Group") }
        'Everyone' { @('Everyone') }
    }
    $done = @($targets | ForEach-Object { Update-Policy $PSCmdlet.ParameterSetName $_ })
}
catch {
    if ("$_" -match 'denied|forbidden|unauthorized|not authorized|insufficient') {
        Write-Host 'You are signed in, but may not change policies: it needs the role Teams Administrator, active right now.'
    }
    Write-Host "Stopped: $_"
    exit 1
}

if ($done -contains $false) {
    Write-Host 'Not everybody is covered: the warnings above say why.'
    exit 1
}
if ($WhatIfPreference) {
    Write-Host 'Nothing was changed.'
    exit 0
}
Write-Host 'Done. It takes up to 30 minutes to work; 48 hours have been reported.'
if ($PSCmdlet.ParameterSetName -ne 'User') {
    Write-Host 'Whoever has a policy of their own stays under that one: run this with -User for them.'
}
exit 0
