/** Commands by which screens, menus and keys open each other. */

export const CommandIDs = {
  show: 'dodas:show-clusters',
  launch: 'dodas:new-cluster',
  provision: 'dodas:new-infrastructure',
  dashboard: 'dodas:open-dashboard',
  logs: 'dodas:open-logs',
  scale: 'dodas:scale',
  keep: 'dodas:keep',
  restart: 'dodas:restart',
  stop: 'dodas:stop',
  stopAll: 'dodas:stop-all',
  insert: 'dodas:insert-code',
  showLogs: 'dodas:show-logs',
  showDashboard: 'dodas:show-dashboard'
} as const;
