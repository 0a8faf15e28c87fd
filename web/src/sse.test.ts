import { expect, test } from 'vitest';
import { EventReader } from './sse';

const bytes = (text: string) => new TextEncoder().encode(text);

const stream = ': a sign of life\r\n\r\ndata: {"a":"快"}\r\n\r\nevent: x\ndata: one\ndata: two\nid: 3\n\n\n\ndata:close\rdata: 😀\r\rdata: [DONE]\n\n';
const wanted = ['{"a":"快"}', 'one\ntwo', 'close\n😀', '[DONE]'];

test('reads events with any line ends, comments and other fields', () => {
  expect(new EventReader().push(bytes(stream))).toEqual(wanted);
});

test('reads events that are cut at any byte', () => {
  const all = bytes(stream);
  for (let cut = 0; cut <= all.length; cut++) {
    const reader = new EventReader();
    expect([...reader.push(all.subarray(0, cut)), ...reader.push(all.subarray(cut))]).toEqual(wanted);
  }
});

test('reads events byte by byte', () => {
  const reader = new EventReader();
  expect([...bytes(stream)].flatMap((byte) => reader.push(Uint8Array.of(byte)))).toEqual(wanted);
});

test('keeps half an event back', () => {
  expect(new EventReader().push(bytes('data: half\n'))).toEqual([]);
});
