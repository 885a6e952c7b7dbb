import { afterEach, describe, expect, it, vi } from 'vitest';

import { problemOf, type Send } from './api';
import { InfrastructureApi, InfrastructureList } from './infrastructures';

const one = (name: string, generation: number, phase = 'starting'): object => ({ name, uid: name, generation, phase, wanted: 'present' });

const reply = (body: unknown, status = 200): Response => new Response(JSON.stringify(body), { status });

/** A service that answers a list at once, and holds what waits for a change until `change` is called. */
function service(): { send: Send; asked: string[]; change: (...all: object[]) => void } {
  let all: object[] = [one('a', 1)];
  let waiting: ((response: Response) => void)[] = [];
  const asked: string[] = [];
  const send: Send = (path, init) => {
    asked.push(path);
    if (path === 'infrastructures') {
      return Promise.resolve(reply(all));
    }
    if (!path.includes('newer_than')) {
      return Promise.resolve(reply([]));
    }
    return new Promise((done, failed) => {
      waiting.push(done);
      init?.signal?.addEventListener('abort', () => failed(new Error('aborted')));
    });
  };
  const change = (...now: object[]): void => {
    all = now;
    const answered = waiting;
    waiting = [];
    answered.forEach(done => done(now.length ? reply(now[0]) : reply({ code: 'infrastructure-not-found', message: 'gone' }, 404)));
  };
  return { send, asked, change };
}

let list: InfrastructureList | undefined;

afterEach(() => list?.rest());

const until = (look: () => boolean): Promise<unknown> => vi.waitUntil(look, { timeout: 20_000, interval: 5 });

describe('the list of infrastructures', () => {
  it('is read again when something has changed, and keeps what has not', async () => {
    const { send, asked, change } = service();
    list = new InfrastructureList(new InfrastructureApi(send));
    const { snapshot } = list;
    list.watch();
    await until(() => asked.some(path => path.includes('newer_than=1')));
    const first = snapshot().infrastructures[0];
    change(one('a', 1), one('b', 1));
    await until(() => snapshot().infrastructures.length === 2);
    expect(snapshot().infrastructures[0]).toBe(first);
    await until(() => asked.some(path => path.startsWith('infrastructures/b')));
    change();
    await until(() => snapshot().infrastructures.length === 0);
    expect(snapshot().state).toBe('live');
  });

  it('asks nothing while nobody looks', async () => {
    const { send, asked, change } = service();
    list = new InfrastructureList(new InfrastructureApi(send));
    list.watch();
    await until(() => asked.some(path => path.includes('newer_than')));
    list.rest();
    const before = asked.length;
    change(one('a', 2));
    await Promise.resolve();
    expect(asked.length).toBe(before);
  });

  it('is not there where nobody makes any', async () => {
    const asked = vi.fn<Send>(() => Promise.resolve(reply({ available: false, infrastructures: [] })));
    list = new InfrastructureList(new InfrastructureApi(asked));
    list.watch();
    await until(() => list?.snapshot().state === 'live');
    expect(list.snapshot().available).toBe(false);
    expect(asked).toHaveBeenCalledOnce();
  });

  it('stays while nobody answers', async () => {
    const { send, asked } = service();
    let away = false;
    list = new InfrastructureList(new InfrastructureApi((path, init) => (away ? Promise.reject(new Error('away')) : send(path, init))));
    list.watch();
    await until(() => asked.some(path => path.includes('newer_than')));
    away = true;
    list.refresh();
    await until(() => list?.snapshot().state === 'offline');
    expect(list.snapshot().infrastructures).toHaveLength(1);
    away = false;
    list.refresh();
    await until(() => list?.snapshot().state === 'live');
  });

  it('says what the service says, in its own words', async () => {
    const refuse: Send = () => Promise.resolve(reply({ code: 'infrastructure-exists', message: 'There is one', cause: 'c', remedy: 'r' }, 409));
    const error: unknown = await new InfrastructureApi(refuse).create({ name: 'a', inputs: {} }).catch((found: unknown) => found);
    expect(problemOf(error)).toMatchObject({ code: 'infrastructure-exists', message: 'There is one', cause: 'c', remedy: 'r' });
  });
});
