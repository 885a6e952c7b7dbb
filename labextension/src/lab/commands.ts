/** Commands by which screens, menus and keys open each other. */

export const CommandIDs = {
  show: 'dodas:show-clusters',
  launch: 'dodas:new-cluster',
  dashboard: 'dodas:open-dashboard',
  logs: 'dodas:open-logs'
} as const;
