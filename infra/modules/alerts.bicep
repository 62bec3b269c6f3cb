@description('What makes the names in this deployment unique.')
param token string

param location string
param tags object

@description('Name of the action group.')
param actionGroupName string

@description('Address that alerts are sent to. Empty: no action group.')
param email string

@description('Id of the workspace that holds the app\'s events.')
param workspaceId string

@description('KQL that gives the app\'s events, a row each, with a column for each member.')
param events string

@description('Storage account of the request queue.')
param storageAccountName string

@description('Name of the request queue.')
param requestQueueName string

// What was put on the queue over half an hour ago, if nothing was handled since (two clocks write
// the times: hence the five seconds). It also fires, wrongly, for a message that its sender hid
// for longer than that.
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

// A source whose every webhook is refused, and that nobody else explains: where some are
// accepted, the others are somebody's guesses.
var refusedLines = [
  events
  '| where trigger == "webhook" and isnotempty(source)'
  '| summarize refused = countif(code == "signature_invalid"), accepted = countif(event != "webhook.refused") by source'
  '| where refused > 0 and accepted == 0'
]

// A destination that takes nothing for a while, or whose outcomes were given up on.
var deliveryLines = [
  events
  '| where event in ("delivery.retried", "delivery.dead_lettered")'
  '| summarize retried = countif(event == "delivery.retried"), givenUp = countif(event == "delivery.dead_lettered") by destination'
  '| where givenUp > 0 or retried > 5'
]

var dailyCapLines = [
  'union isfuzzy=true (datatable(TimeGenerated: datetime, Category: string, Detail: string)[]), _LogOperation'
  '| where Category =~ "Ingestion" and Detail contains "OverQuota"'
]

var rules = [
  {
    name: 'dead-letters'
    title: 'A request was given up on'
    description: 'A message was moved to the dead letters. See scripts/dead_letters.py: list says why, replay tries again.'
    severity: 1
    frequency: 'PT5M'
    window: 'PT15M'
    threshold: 0
    query: '${events}\n| where event == "join_link.dead_lettered"'
  }
  {
    // Throttling is not among them: the queue waits it out, and an HTTP caller is told to.
    name: 'failures'
    title: 'Requests fail for reasons that no caller can fix'
    description: 'More than five in 15 minutes ended with an error of Graph, a dependency or this service.'
    severity: 2
    frequency: 'PT5M'
    window: 'PT15M'
    threshold: 0
    query: '${events}\n| where code in ("graph_unavailable", "graph_timeout", "graph_unexpected", "graph_refused", "identity_unavailable", "secrets_unavailable", "queue_unavailable", "internal_error")\n| summarize failures = sum(occurrences)\n| where failures > 5'
  }
  {
    name: 'permissions'
    title: 'A permission or access policy is missing'
    description: 'Somebody\'s join link waits for an administrator. Run the diagnostics for that organizer: they name the command.'
    severity: 2
    frequency: 'PT5M'
    window: 'PT15M'
    threshold: 0
    query: '${events}\n| where code in ("permission_missing", "permission_refused", "access_policy_missing", "lookup_not_permitted", "meeting_not_accessible", "consent_missing", "sign_in_setup_incomplete")'
  }
  {
    name: 'settings'
    title: 'The app refuses its settings'
    description: 'Nothing is answered until they are corrected; messages wait. The diagnostics name the settings.'
    severity: 1
    frequency: 'PT15M'
    window: 'PT15M'
    threshold: 0
    query: '${events}\n| where event == "settings.invalid"'
  }
  {
    name: 'stalled'
    title: 'Requests are queued and none is handled'
    description: 'A message was put on the request queue, and for 30 minutes the app has handled none.'
    severity: 1
    frequency: 'PT15M'
    window: 'P1D'
    threshold: 0
    query: join(stalledLines, '\n')
  }
  {
    name: 'refused-source'
    title: 'Every webhook of a booking system is refused'
    description: 'For six hours no webhook of the source had a valid signature, and some had none. Its secret is mistyped, here or in the booking system: see scripts/set_webhook_secret.py.'
    severity: 2
    frequency: 'PT15M'
    window: 'PT6H'
    threshold: 0
    query: join(refusedLines, '\n')
  }
  {
    name: 'deliveries'
    title: 'Outcomes do not reach a destination'
    description: 'A destination of DELIVERIES failed more than five times in 15 minutes, or an outcome for it became a dead letter: it is gone, or its time is over. The diagnostics check each destination; see scripts/dead_letters.py.'
    severity: 2
    frequency: 'PT15M'
    window: 'PT15M'
    threshold: 0
    query: join(deliveryLines, '\n')
  }
  {
    name: 'daily-cap'
    title: 'The day\'s logs are used up, and alerts see nothing more'
    description: 'Log Analytics takes no more logs until its next day: no other alert can fire. Raise DAILY_LOG_QUOTA_GB, or find out what logs so much.'
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
      // The tables appear with their first row, which is after this deployment.
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
