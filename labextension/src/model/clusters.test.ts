import { afterEach, describe, expect, it, vi } from 'vitest';

import { cluster, DASK, QUOTA, until } from '../components/testing';
import { Api, Refused, Unreachable } from './api';
import { Clusters } from './clusters';
import { type Listener, type Socket, socketHints } from './hints';
import type { Cluster } from './records';

/** A server in memory: what it holds, which paths were read, and what it may be down with. */
class Server {
  held = new Map<string, Cluster>();
  readonly asked: string[] = [];
  refuses: ((path: string) => Response | Error | undefined) | null = null;
  /** Replies wait for this. */
  gate: Promise<void> = Promise.resolve();

  readonly send = async (path: string, init: RequestInit = {}): Promise<Response> => {
    this.asked.push(`${init.method ?? 'GET'} ${path}`);
    const reply = this.reply(path, init);
    await this.gate;
    if (reply instanceof Error) {
      throw reply;
    }
    return reply;
  };

  private reply(path: string, init: RequestInit): Response | Error {
    const name = decodeURIComponent(path.split('/')[1] ?? '');
    const refused = this.refuses?.(path);
    if (refused) {
      return refused;
    }
    if (path === 'kinds') {
      return Response.json({ kinds: [DASK] });
    }
    if (path === 'quota') {
      return Response.json(QUOTA);
    }
    if (path === 'clusters' && init.method === 'POST') {
      const made = cluster({ name: 'new' });
      this.held.set('new', made);
      return Response.json(made, { status: 202 });
    }
    if (path === 'clusters') {
      return Response.json({ clusters: [...this.held.values()] });
    }
    if (init.method === 'DELETE') {
      this.held.delete(name);
      return new Response(null, { status: 204 });
    }
    const found = this.held.get(name);
    return found ? Response.json(found) : refusal(404, 'not-found');
  }
}

function refusal(status: number, code: string): Response {
  return Response.json({ error: { code, message: 'It is so', cause: '', remedy: '', retryable: false, option: '' } }, { status });
}

function set(...names: string[]): { server: Server; clusters: Clusters; listener: Listener } {
  const server = new Server();
  names.forEach(name => server.held.set(name, cluster({ name })));
  let listener: Listener | undefined;
  const clusters = new Clusters(new Api(server.send), heard => {
    listener = heard;
    return { dispose: () => {} };
  });
  return { server, clusters, listener: listener as Listener };
}

/** Until the list is as it should be. */
const listed = (clusters: Clusters, meets: (names: string[]) => boolean): Promise<unknown> => until(() => meets(names(clusters)));

const names = (clusters: Clusters): string[] => clusters.snapshot().clusters.map(({ name }) => name);

describe('the list', () => {
  it('is read once somebody tells of changes, and not before', async () => {
    const { server, clusters, listener } = set('a', 'b');
    expect(clusters.snapshot().state).toBe('loading');
    expect(server.asked).toEqual([]);
    listener.connected();
    await listed(clusters, found => found.length === 2);
    expect(clusters.snapshot()).toMatchObject({ state: 'live', quota: QUOTA, kinds: [DASK] });
  });

  it('reads again only what a hint names, and keeps the rest as it is', async () => {
    const { server, clusters, listener } = set('a', 'b');
    listener.connected();
    await listed(clusters, found => found.length === 2);
    const b = clusters.find('b');
    server.asked.length = 0;
    server.held.set('a', cluster({ name: 'a', workers: 5 }));
    listener.hint('a');
    await until(() => clusters.find('a')?.spec.options['workers'] === 5);
    expect(server.asked).toEqual(['GET clusters/a', 'GET quota']);
    expect(clusters.find('b')).toBe(b);
  });

  it('reads the list once for many hints, after what is under way', async () => {
    const { server, clusters, listener } = set('a');
    listener.connected();
    await listed(clusters, found => found.length === 1);
    let open = (): void => {};
    server.gate = new Promise(resolve => (open = resolve));
    listener.hint('a');
    for (let n = 0; n < 50; n++) {
      server.held.set(`c${n}`, cluster({ name: `c${n}` }));
      listener.hint(`c${n}`);
    }
    server.asked.length = 0;
    open();
    await listed(clusters, found => found.length === 51);
    expect(server.asked).toEqual(['GET clusters', 'GET quota']);
  });

  it('keeps the same objects when nothing has changed', async () => {
    const { clusters, listener } = set('a');
    listener.connected();
    await listed(clusters, found => found.length === 1);
    const { clusters: before, quota } = clusters.snapshot();
    let told = 0;
    clusters.subscribe(() => (told += 1));
    listener.connected();
    await until(() => told > 0);
    expect(clusters.snapshot().clusters[0]).toBe(before[0]);
    expect(clusters.snapshot().quota).toBe(quota);
  });

  it('drops what is gone', async () => {
    const { server, clusters, listener } = set('a', 'b');
    listener.connected();
    await listed(clusters, found => found.length === 2);
    server.held.delete('a');
    listener.hint('a');
    await listed(clusters, found => found.join() === 'b');
  });

  it('shows the old list while nobody answers, and all that is new afterwards', async () => {
    const { server, clusters, listener } = set('a');
    listener.connected();
    await listed(clusters, found => found.length === 1);
    listener.lost();
    expect(clusters.snapshot().state).toBe('offline');
    expect(names(clusters)).toEqual(['a']);
    server.held.delete('a');
    server.held.set('z', cluster({ name: 'z' }));
    listener.connected();
    await listed(clusters, found => found.join() === 'z');
    expect(clusters.snapshot().state).toBe('live');
  });

  it('reads a list even where the bus cannot be had, and says that it may be old', async () => {
    const { clusters, listener } = set('a');
    listener.lost();
    await listed(clusters, found => found.length === 1);
    expect(clusters.snapshot().state).toBe('offline');
  });

  it('says what the server says, and reads everything once it is better', async () => {
    const { server, clusters, listener } = set('a');
    server.refuses = () => refusal(503, 'place-unreachable');
    listener.connected();
    await until(() => clusters.snapshot().state === 'error');
    expect(clusters.snapshot().problem?.code).toBe('place-unreachable');
    server.refuses = null;
    listener.hint('b');
    await listed(clusters, found => found.join() === 'a');
    expect(clusters.snapshot()).toMatchObject({ state: 'live', problem: null });
  });

  it('reads again what was asked for while a reply failed', async () => {
    const { server, clusters, listener } = set('a');
    let open = (): void => {};
    server.gate = new Promise(resolve => (open = resolve));
    server.refuses = () => new TypeError('Failed to fetch');
    listener.connected();
    server.refuses = null;
    listener.connected();
    open();
    await listed(clusters, found => found.join() === 'a');
    expect(clusters.snapshot().state).toBe('live');
  });

  it('lists what cannot be read by itself', async () => {
    const { server, clusters, listener } = set('a');
    listener.connected();
    await listed(clusters, found => found.length === 1);
    server.held.set('broken', cluster({ name: 'broken', phase: 'failed' }));
    server.refuses = path => (path === 'clusters/broken' ? refusal(409, 'damaged-record') : undefined);
    listener.hint('broken');
    await listed(clusters, found => found.length === 2);
    expect(clusters.snapshot().state).toBe('live');
  });

  it('shows what was done here without waiting to be told', async () => {
    const { clusters, listener } = set();
    listener.connected();
    await until(() => clusters.snapshot().state === 'live');
    await clusters.launch('dask', '', {});
    await listed(clusters, found => found.join() === 'new');
    await clusters.stop('new');
    await listed(clusters, found => found.length === 0);
  });
});

describe('the interface', () => {
  it('names what the server refuses, and what a proxy on the way does', async () => {
    const server = new Server();
    const api = new Api(server.send);
    server.refuses = () => refusal(422, 'quota-exceeded');
    await expect(api.quota()).rejects.toSatisfy(error => error instanceof Refused && error.problem.code === 'quota-exceeded');
    server.refuses = () => new Response('<h1>Bad gateway</h1>', { status: 502, statusText: 'Bad Gateway' });
    await expect(api.quota()).rejects.toThrow('502 Bad Gateway');
    server.refuses = () => new TypeError('Failed to fetch');
    await expect(api.quota()).rejects.toBeInstanceOf(Unreachable);
  });

  it('keeps a name to one part of a path', async () => {
    const server = new Server();
    await new Api(server.send).cluster('../kinds?a=b');
    expect(server.asked).toEqual(['GET clusters/..%2Fkinds%3Fa%3Db']);
  });

  it('reads lines of a log that come in pieces', async () => {
    const encoder = new TextEncoder();
    const whole = encoder.encode('{"instance": "worker-1", "line": "µ"}\n{"instance": "worker-2", "line": "b"}\n');
    // The first piece ends within the two bytes of a letter.
    const cut = whole.indexOf(0xc2) + 1;
    const body = new ReadableStream<Uint8Array>({
      start(control) {
        control.enqueue(whole.slice(0, cut));
        control.enqueue(whole.slice(cut));
        control.close();
      }
    });
    const api = new Api(async () => new Response(body));
    const said: string[] = [];
    for await (const lines of api.logs('a', 10, new AbortController().signal)) {
      said.push(...lines.map(({ instance, line }) => `${instance} ${line}`));
    }
    expect(said).toEqual(['worker-1 µ', 'worker-2 b']);
  });
});

describe('hints', () => {
  afterEach(() => vi.useRealTimers());

  class Wire implements Socket {
    onopen: Socket['onopen'] = null;
    onclose: Socket['onclose'] = null;
    onmessage: Socket['onmessage'] = null;
    closed = false;
    close(): void {
      this.closed = true;
    }
    say(data: unknown): void {
      this.onmessage?.(new MessageEvent('message', { data: typeof data === 'string' ? data : JSON.stringify(data) }));
    }
  }

  function heard(): { wires: Wire[]; told: string[]; end: () => void } {
    const wires: Wire[] = [];
    const told: string[] = [];
    const open = (): Wire => {
      wires.push(new Wire());
      return wires[wires.length - 1] as Wire;
    };
    const listener: Listener = { connected: () => told.push('connected'), lost: () => told.push('lost'), hint: name => told.push(name) };
    const { dispose } = socketHints(open)(listener);
    return { wires, told, end: dispose };
  }

  it('takes nothing but names from the bus', () => {
    const { wires, told, end } = heard();
    const hint = { schema_id: 'https://events.jupyter-dodas.org/cluster/v1', id: 'higgs', generation: 3 };
    wires[0]?.onopen?.(new Event('open'));
    [hint, { ...hint, schema_id: 'https://example.org/other' }, { ...hint, id: 7 }, 'no json', 'null', '[]'].forEach(one => wires[0]?.say(one));
    expect(told).toEqual(['connected', 'higgs']);
    end();
    expect(wires[0]?.closed).toBe(true);
  });

  it('connects again, later and later, and at once when the network is back', () => {
    vi.useFakeTimers();
    const { wires, told, end } = heard();
    const lose = (): void => wires[wires.length - 1]?.onclose?.(new CloseEvent('close'));
    lose();
    vi.advanceTimersByTime(700);
    expect(wires.length).toBe(2);
    lose();
    vi.advanceTimersByTime(700);
    expect(wires.length).toBe(2);
    vi.advanceTimersByTime(600);
    expect(wires.length).toBe(3);
    lose();
    globalThis.dispatchEvent(new Event('online'));
    expect(wires.length).toBe(4);
    expect(told).toEqual(['lost', 'lost', 'lost']);
    end();
    lose();
    vi.advanceTimersByTime(60_000);
    expect(wires.length).toBe(4);
  });
});
