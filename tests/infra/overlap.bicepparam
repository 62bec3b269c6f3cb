// One person in every place, once by another writing of the id; somebody named twice in one
// list; and a group beside a member of it.
using '../../infra/main.bicep'

param environmentName = 'overlap'
param location = 'westeurope'
param operatorPrincipalId = 'aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa'
param deployerPrincipalId = 'AAAAAAAA-AAAA-4AAA-8AAA-AAAAAAAAAAAA'
param queueSenders = [
  { type: 'User', id: 'AAAAAAAA-AAAA-4AAA-8AAA-AAAAAAAAAAAA' }
  { id: '33333333-3333-4333-8333-333333333333', type: 'ServicePrincipal' }
  { id: '33333333-3333-4333-8333-333333333333', type: 'ServicePrincipal', name: 'the workflow' }
  { id: '77777777-7777-4777-8777-777777777777', type: 'Group' }
]
param queueReaders = [
  { id: 'aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa', type: 'User' }
  { id: '33333333-3333-4333-8333-333333333333', type: 'ServicePrincipal' }
]
