# Pester's tests of grant-teams-access-policy.ps1: Invoke-Pester -Path scripts
# The decision is tried by itself, and the whole script against a stand-in for the module
# MicrosoftTeams, which keeps policies and grants in memory.

BeforeAll {
    $Path = Join-Path $PSScriptRoot 'grant-teams-access-policy.ps1'
    $Ours = '20000000-0000-4000-8000-00000000000a'
    $Theirs = '90000000-0000-4000-8000-000000000009'
}

Describe 'Select-PolicyStep' {
    BeforeAll {
        $tree = [System.Management.Automation.Language.Parser]::ParseFile($Path, [ref] $null, [ref] $null)
        $found = $tree.Find({
                param($node)
                $node -is [System.Management.Automation.Language.FunctionDefinitionAst] -and
                $node.Name -eq 'Select-PolicyStep'
            }, $true)
        . ([scriptblock]::Create($found.Extent.Text))

        function Select-Step {
            param($Scope, $AssignedPolicy = '', $AssignedAppIds = @(), $GlobalAppIds = @())
            Select-PolicyStep -Scope $Scope -AssignedPolicy $AssignedPolicy `
                -AssignedAppIds $AssignedAppIds -GlobalAppIds $GlobalAppIds -ThisApp $Ours
        }
    }

    It 'adds the app to the policy that counts for a <_> already, whatever the Global one says' -ForEach @('User', 'Group') {
        Select-Step $_ 'clinic' @($Theirs) | Should -Be 'AddToAssigned'
        Select-Step $_ 'clinic' @() @($Ours) | Should -Be 'AddToAssigned'
    }

    It 'leaves what is right for a <_>, whatever the case of the id' -ForEach @('User', 'Group') {
        Select-Step $_ 'clinic' @($Theirs, $Ours.ToUpper()) | Should -Be 'Nothing'
    }

    It 'leaves <_> alone where the Global policy names the app' -ForEach @('User', 'Group', 'Everyone') {
        Select-Step $_ '' @() @($Theirs, $Ours.ToUpper()) | Should -Be 'Nothing'
    }

    It 'gives <Scope> a policy of ours where there is none' -ForEach @(
        @{ Scope = 'User'; Step = 'GrantToUser' }
        @{ Scope = 'Group'; Step = 'GrantToGroup' }
        @{ Scope = 'Everyone'; Step = 'GrantToEveryone' }
    ) {
        Select-Step $Scope | Should -Be $Step
    }

    It 'adds to the Global policy of other apps for everyone alone' {
        Select-Step 'Everyone' '' @() @($Theirs) | Should -Be 'AddToGlobal'
        Select-Step 'User' '' @() @($Theirs) | Should -Be 'Refuse'
        Select-Step 'Group' '' @() @($Theirs) | Should -Be 'Refuse'
    }

    It 'never takes another app its place' {
        foreach ($scope in 'User', 'Group', 'Everyone') {
            foreach ($everyone in @(), @($Ours), @($Theirs), @($Theirs, $Ours)) {
                foreach ($name in '', 'clinic') {
                    $step = Select-Step $scope $name @($Theirs) $everyone
                    if ($step -like 'Grant*') {
                        $name | Should -BeNullOrEmpty
                        $everyone | Should -BeNullOrEmpty
                    }
                }
            }
        }
    }
}

Describe 'the script' {
    BeforeAll {
        $module = Join-Path $TestDrive 'MicrosoftTeams'
        New-Item -ItemType Directory -Path $module | Out-Null
        Set-Content -Path (Join-Path $module 'MicrosoftTeams.psm1') -Value @'
function Get-CsTenant {
    if (-not $global:Teams.SignedIn) { throw 'You must call Connect-MicrosoftTeams first' }
}

function Connect-MicrosoftTeams {
    param([switch] $UseDeviceAuthentication)
    $global:Teams.SignedIn = if ($UseDeviceAuthentication) { 'by code' } else { 'in a window' }
}

function Get-CsApplicationAccessPolicy {
    if ($global:Teams.Denied) { throw 'Access denied' }
    foreach ($name in @($global:Teams.Policies.Keys)) {
        $identity = if ($name -eq 'Global') { $name } else { "Tag:$name" }
        [pscustomobject] @{ Identity = $identity; AppIds = $global:Teams.Policies[$name] }
    }
}

function New-CsApplicationAccessPolicy {
    param($Identity, $AppIds, $Description)
    $global:Teams.Changes += "new $Identity"
    $global:Teams.Policies[$Identity] = @($AppIds)
}

function Set-CsApplicationAccessPolicy {
    param($Identity, $AppIds)
    $global:Teams.Changes += "set $Identity"
    $global:Teams.Policies[$Identity] = @($global:Teams.Policies[$Identity]) + $AppIds['Add']
}

function Grant-CsApplicationAccessPolicy {
    param($PolicyName, $Identity, $Group, $Rank, [switch] $Global)
    $to = if ($Global) { 'everyone' } elseif ($Group) { "group $Group at $Rank" } else { $Identity }
    $global:Teams.Changes += "grant $PolicyName to $to"
    if ($Identity) { $global:Teams.Users[$Identity] = $PolicyName }
}

function Get-CsUserPolicyAssignment {
    param($Identity, $PolicyType)
    if ($global:Teams.Users.ContainsKey($Identity)) {
        [pscustomobject] @{ PolicyName = $global:Teams.Users[$Identity] }
    }
}

function Get-CsGroupPolicyAssignment {
    param($PolicyType)
    foreach ($id in @($global:Teams.Groups.Keys)) {
        [pscustomobject] @{ GroupId = $id; PolicyName = $global:Teams.Groups[$id] }
    }
}
'@
        $before = $env:PSModulePath
        $env:PSModulePath = $TestDrive.ToString() + [System.IO.Path]::PathSeparator + $before
    }

    AfterAll {
        Remove-Module MicrosoftTeams -ErrorAction SilentlyContinue
        $env:PSModulePath = $before
        Remove-Variable -Name Teams -Scope Global -ErrorAction SilentlyContinue
    }

    BeforeEach {
        $global:Teams = @{
            Policies = @{ Global = @() }
            Users = @{}
            Groups = @{}
            Changes = @()
            Denied = $false
            SignedIn = 'before'
        }
    }

    It 'gives users without a policy one of ours, and changes nothing the second time' {
        & $Path -AppId $Ours -User 'a@clinic.example,b@clinic.example'
        $LASTEXITCODE | Should -Be 0
        $global:Teams.Changes | Should -Be @(
            'new virtual-appointments'
            'grant virtual-appointments to a@clinic.example'
            'grant virtual-appointments to b@clinic.example'
        )
        $global:Teams.Policies['virtual-appointments'] | Should -Be @($Ours)

        $global:Teams.Changes = @()
        & $Path -AppId $Ours -User 'a@clinic.example,b@clinic.example'
        $LASTEXITCODE | Should -Be 0
        $global:Teams.Changes | Should -BeNullOrEmpty
    }

    It 'adds the app to a policy that a user has, and takes no other from it' {
        $global:Teams.Policies['clinic'] = @($Theirs)
        $global:Teams.Users['a@clinic.example'] = 'clinic'

        & $Path -AppId $Ours -User 'a@clinic.example'

        $LASTEXITCODE | Should -Be 0
        $global:Teams.Changes | Should -Be @('set clinic')
        $global:Teams.Policies['clinic'] | Should -Be @($Theirs, $Ours)
    }

    It 'takes the Global policy for nobody''s own' {
        $global:Teams.Users['a@clinic.example'] = 'Global'

        & $Path -AppId $Ours -User 'a@clinic.example'

        $LASTEXITCODE | Should -Be 0
        $global:Teams.Policies['Global'] | Should -BeNullOrEmpty
        $global:Teams.Users['a@clinic.example'] | Should -Be 'virtual-appointments'
    }

    It 'refuses a user under a Global policy of other apps' {
        $global:Teams.Policies['Global'] = @($Theirs)

        & $Path -AppId $Ours -User 'a@clinic.example' -WarningAction SilentlyContinue

        $LASTEXITCODE | Should -Be 1
        $global:Teams.Changes | Should -BeNullOrEmpty
    }

    It 'adds the app to that Global policy for everyone' {
        $global:Teams.Policies['Global'] = @($Theirs)

        & $Path -AppId $Ours -Everyone

        $LASTEXITCODE | Should -Be 0
        $global:Teams.Policies['Global'] | Should -Be @($Theirs, $Ours)
    }

    It 'puts a group behind those that have a policy already' {
        $global:Teams.Groups['33333333-3333-4333-8333-333333333333'] = 'clinic'

        & $Path -AppId $Ours -Group '44444444-4444-4444-8444-444444444444'

        $LASTEXITCODE | Should -Be 0
        $global:Teams.Changes[-1] |
            Should -Be 'grant virtual-appointments to group 44444444-4444-4444-8444-444444444444 at 2'
    }

    It 'signs in <How> where the screen is <Screen>' -Skip:(-not $IsLinux) -ForEach @(
        @{ Screen = ''; How = 'by code' }
        @{ Screen = ':0'; How = 'in a window' }
    ) {
        $screens = $env:DISPLAY, $env:WAYLAND_DISPLAY
        $global:Teams.SignedIn = ''
        try {
            $env:DISPLAY = $Screen
            $env:WAYLAND_DISPLAY = ''
            & $Path -AppId $Ours -User 'a@clinic.example' -WhatIf
        }
        finally { $env:DISPLAY, $env:WAYLAND_DISPLAY = $screens }

        $LASTEXITCODE | Should -Be 0
        $global:Teams.SignedIn | Should -Be $How
    }

    It 'changes nothing with -WhatIf' {
        & $Path -AppId $Ours -User 'a@clinic.example' -WhatIf

        $LASTEXITCODE | Should -Be 0
        $global:Teams.Changes | Should -BeNullOrEmpty
    }

    It 'names the role to somebody who may not change policies' {
        $global:Teams.Denied = $true

        $said = & $Path -AppId $Ours -User 'a@clinic.example' 6>&1 | Out-String

        $LASTEXITCODE | Should -Be 1
        $said | Should -Match 'Teams Administrator'
    }
}
