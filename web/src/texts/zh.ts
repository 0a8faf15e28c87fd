import type { Texts } from '.';

export const zh: Texts = {
  newChat: '新对话',
  dashboard: '仪表板',
  keys: '密钥',
  settings: '设置',
  skip: '跳到消息框',
};
