@description('Suffix that makes the names in this deployment unique.')
param token string

param location string
param tags object

@description('Name of the action group.')
param actionGroupName string

@description('Mail address for alerts. Empty: no action group.')
param email string

@description('Id of the workspace that holds the app\'s events.')
param workspaceId string

@description('KQL of the app\'s events: a row for each event and a column for each member.')
param events string

@description('Storage account of the request queue.')
param storageAccountName string

@description('Name of the request queue.')
param requestQueueName string

// Messages put on the queue more than half an hour ago, if none was handled since. The five seconds
// allow for the difference of two clocks. It also fires, wrongly, for a message that its sender hid
// for longer.
var stalledLines = [
  'let handled = toscalar('
  events
  '| where trigger == "queue"'
  '| summarize max(TimeGenerated));'
  'union isfuzzy=true (datatable(TimeGenerated: datetime, AccountName: string, OperationName: string, StatusText: string, Uri: string)[]), StorageQueueLogs'
  '| where AccountName == "${storageAccountName}" and OperationName == "PutMessage" and StatusText == "Success"'
  '| where Uri contains "/${requestQueueName}/messages"'
  '| where TimeGenerated < ago(30m) and (isnull(handled) or TimeGenerated > handled + 5s)'
]

// A source all of whose webhooks are refused. If some are accepted, the refused ones may come from
// another sender.
var refusedLines = [
  events
  '| where trigger == "webhook" and isnotempty(source)'
  '| summarize refused = countif(code == "signature_invalid"), accepted = countif(event != "webhook.refused") by source'
  '| where refused > 0 and accepted == 0'
]

// A destination that accepts nothing for a while, that only an operator can correct, or whose
// outcomes became dead letters.
var deliveryLines = [
  events
  '| where event in ("delivery.retried", "delivery.dead_lettered")'
  '| summarize retried = countif(event == "delivery.retried"), misconfigured = countif(code == "destination_invalid"), givenUp = countif(event == "delivery.dead_lettered") by destination'
  '| where givenUp > 0 or misconfigured > 0 or retried > 5'
]

var dailyCapLines = [
  'union isfuzzy=true (datatable(TimeGenerated: datetime, Category: string, Detail: string)[]), _LogOperation'
  '| where Category =~ "Ingestion" and Detail contains "OverQuota"'
]

var rules = [
  {
    name: 'dead-letters'
    title: 'A request was given up on'
    description: 'A message was moved to the dead letters. See scripts/dead_letters.py: list shows the reason, and replay tries again.'
    severity: 1
    frequency: 'PT5M'
    window: 'PT15M'
    threshold: 0
    query: '${events}\n| where event == "join_link.dead_lettered"'
  }
  {
    // Without throttling, because the queue repeats throttled requests and HTTP callers are told to.
    name: 'failures'
    title: 'Requests fail for reasons that no caller can fix'
    description: 'More than five requests in 15 minutes ended with an error of Graph, a dependency or this service.'
    severity: 2
    frequency: 'PT5M'
    window: 'PT15M'
    threshold: 0
    query: '${events}\n| where code in ("graph_unavailable", "graph_timeout", "graph_unexpected", "graph_refused", "identity_unavailable", "secrets_unavailable", "queue_unavailable", "internal_error")\n| summarize failures = sum(occurrences)\n| where failures > 5'
  }
  {
    name: 'permissions'
    title: 'A permission or access policy is missing'
    description: 'A join link needs an administrator. Run the diagnostics for that organizer: they show the command.'
    severity: 2
    frequency: 'PT5M'
    window: 'PT15M'
    threshold: 0
    query: '${events}\n| where code in ("permission_missing", "permission_refused", "access_policy_missing", "lookup_not_permitted", "meeting_not_accessible", "consent_missing", "sign_in_setup_incomplete")'
  }
  {
    name: 'settings'
    title: 'The app refuses its settings'
    description: 'Until they are corrected, the app answers no request and messages wait. A mistake in one booking system or destination stops that one alone. The diagnostics name the settings.'
    severity: 1
    frequency: 'PT15M'
    window: 'PT30M'
    threshold: 0
    query: '${events}\n| where event == "settings.invalid"'
  }
  {
    name: 'stalled'
    title: 'Requests are queued and none is handled'
    description: 'A message was put on the request queue, and the app has handled none for 30 minutes.'
    severity: 1
    frequency: 'PT15M'
    window: 'P1D'
    threshold: 0
    query: join(stalledLines, '\n')
  }
  {
    name: 'refused-source'
    title: 'Every webhook of a booking system is refused'
    description: 'In the last six hours webhooks of the source arrived, but none had a valid signature. The secret in the vault and that of the booking system may differ: see scripts/set_webhook_secret.py.'
    severity: 2
    frequency: 'PT15M'
    window: 'PT6H'
    threshold: 0
    query: join(refusedLines, '\n')
  }
  {
    name: 'deliveries'
    title: 'Outcomes do not reach a destination'
    description: 'A destination of DELIVERIES failed more than five times in half an hour, is not set up correctly, or an outcome for it became a dead letter. The diagnostics check each destination. See scripts/dead_letters.py.'
    severity: 2
    frequency: 'PT15M'
    window: 'PT30M'
    threshold: 0
    query: join(deliveryLines, '\n')
  }
  {
    name: 'daily-cap'
    title: 'The day\'s logs are used up, and alerts see nothing more'
    description: 'Log Analytics accepts no more logs until its next day, so no other alert can fire. Raise DAILY_LOG_QUOTA_GB, or find out what logs so much.'
    severity: 2
    frequency: 'PT15M'
    window: 'PT1H'
    threshold: 0
    query: join(dailyCapLines, '\n')
  }
]

resource actionGroup 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(email)) {
  name: actionGroupName
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'join-links'
    emailReceivers: [{ name: 'operator', emailAddress: email, useCommonAlertSchema: true }]
  }
}

resource alerts 'Microsoft.Insights/scheduledQueryRules@2026-03-01' = [
  for rule in rules: {
    name: 'alert-${rule.name}-${token}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: rule.title
      description: rule.description
      severity: rule.severity
      enabled: true
      scopes: [workspaceId]
      evaluationFrequency: rule.frequency
      windowSize: rule.window
      // A table exists from its first row on, which comes after this deployment.
      skipQueryValidation: true
      autoMitigate: true
      criteria: {
        allOf: [
          {
            query: rule.query
            timeAggregation: 'Count'
            operator: 'GreaterThan'
            threshold: rule.threshold
            failingPeriods: { numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 }
          }
        ]
      }
      actions: { actionGroups: empty(email) ? [] : [actionGroup.id] }
    }
  }
]
