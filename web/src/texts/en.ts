export const en = {
  newChat: 'New chat',
  dashboard: 'Dashboard',
  keys: 'Keys',
  settings: 'Settings',
  skip: 'Skip to the message box',
};
