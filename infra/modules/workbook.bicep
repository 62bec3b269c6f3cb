@description('Name of the workbook: a GUID.')
@minLength(36)
@maxLength(36)
param name string

param location string
param tags object

@description('Id of the workspace that holds the app\'s events.')
param workspaceId string

@description('KQL of the app\'s events: a row for each event and a column for each member.')
param events string

var title = 'Virtual appointment join links'
// A webhook by its booking system's name, other requests by their trigger.
var bySource = '| extend source = iff(isempty(source), trigger, source)'
var outcomes = '| where event in ("join_link.resolved", "join_link.failed")'

var charts = [
  {
    name: 'links-per-hour'
    title: 'Links per hour, by source'
    visualization: 'barchart'
    lines: [
      '| where event == "join_link.resolved"'
      bySource
      '| summarize links = count() by bin(TimeGenerated, 1h), source'
    ]
  }
  {
    name: 'outcomes'
    title: 'Outcomes by code'
    visualization: 'piechart'
    lines: [
      outcomes
      '| summarize requests = count() by code = iff(isempty(code), "resolved", code)'
    ]
  }
  {
    name: 'latency'
    title: 'Time to an answer, in milliseconds'
    visualization: 'timechart'
    lines: [
      outcomes
      '| summarize percentiles(durationMs, 50, 95, 99) by bin(TimeGenerated, 1h)'
    ]
  }
  {
    name: 'attempts'
    title: 'Attempts until a link, on the queue'
    visualization: 'barchart'
    lines: [
      '| where event == "join_link.resolved" and trigger == "queue"'
      '| summarize requests = count() by attempts = tostring(attempts)'
      '| order by toint(attempts) asc'
    ]
  }
  {
    name: 'sources'
    title: 'By source'
    visualization: 'table'
    lines: [
      outcomes
      bySource
      '| summarize resolved = countif(event == "join_link.resolved"), failed = countif(event == "join_link.failed"), medianMs = percentile(durationMs, 50), graphCalls = sum(graphCalls) by source'
      '| order by resolved + failed desc'
    ]
  }
  {
    name: 'refused-webhooks'
    title: 'Refused webhooks of known sources, by reason'
    visualization: 'table'
    lines: [
      '| where event == "webhook.refused" and isnotempty(source)'
      '| summarize webhooks = sum(occurrences), latest = max(TimeGenerated) by source, code, note'
      '| order by latest desc'
    ]
  }
  {
    name: 'retries'
    title: 'Waiting to be tried again, by code'
    visualization: 'timechart'
    lines: [
      '| where event == "join_link.retried"'
      '| summarize retries = count() by bin(TimeGenerated, 1h), code'
    ]
  }
  {
    name: 'deliveries'
    title: 'Deliveries, by destination'
    visualization: 'table'
    lines: [
      '| where trigger == "delivery"'
      '| summarize delivered = countif(event == "delivery.succeeded"), retried = countif(event == "delivery.retried"), givenUp = countif(event == "delivery.dead_lettered"), medianMs = percentile(durationMs, 50), latest = max(TimeGenerated) by destination'
      '| order by givenUp + retried desc'
    ]
  }
  {
    name: 'dead-letters'
    title: 'Dead letters'
    visualization: 'table'
    lines: [
      '| where event in ("join_link.dead_lettered", "delivery.dead_lettered")'
      bySource
      '| project TimeGenerated, source, destination, code, attempts, requestId'
      '| order by TimeGenerated desc'
      '| take 100'
    ]
  }
]

var timeRange = {
  type: 9
  name: 'time-range'
  content: {
    version: 'KqlParameterItem/1.0'
    style: 'pills'
    queryType: 0
    resourceType: 'microsoft.operationalinsights/workspaces'
    parameters: [
      {
        version: 'KqlParameterItem/1.0'
        name: 'TimeRange'
        label: 'Time range'
        type: 4
        isRequired: true
        value: { durationMs: 86400000 }
        typeSettings: {
          selectableValues: [
            { durationMs: 3600000 }
            { durationMs: 86400000 }
            { durationMs: 604800000 }
            { durationMs: 2592000000 }
          ]
        }
      }
    ]
  }
}

var chartItems = [
  for chart in charts: {
    type: 3
    name: chart.name
    customWidth: chart.visualization == 'table' ? '100' : '50'
    content: {
      version: 'KqlItem/1.0'
      title: chart.title
      query: join(concat([events], chart.lines), '\n')
      size: 0
      queryType: 0
      resourceType: 'microsoft.operationalinsights/workspaces'
      crossComponentResources: [workspaceId]
      timeContextFromParameter: 'TimeRange'
      visualization: chart.visualization
      noDataMessage: 'None in this time.'
    }
  }
]

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: name
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: title
    category: 'workbook'
    sourceId: workspaceId
    version: 'Notebook/1.0'
    serializedData: string({
      version: 'Notebook/1.0'
      items: concat([timeRange], chartItems)
      fallbackResourceIds: [workspaceId]
    })
  }
}
