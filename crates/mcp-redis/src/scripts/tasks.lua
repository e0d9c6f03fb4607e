-- KEYS: bodies, owners sealed, what is known of each (version, end, bytes, name of owner), ends, tasks
-- of owners, totals. ARGV: what to do, and what it needs; the last one says whether this script was
-- unknown.
local bodies, sealed, known, ends, owners, totals = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]

local function read(id)
  local text = redis.call('HGET', known, id)
  if not text then return nil end
  local version, till, size, owner = text:match('^(%d+) (%d+) (%d+) (.*)$')
  return { version = version, till = till, size = tonumber(size), owner = owner }
end

local function write(id, task, body)
  redis.call('HSET', known, id, table.concat({ task.version, task.till, task.size, task.owner }, ' '))
  redis.call('HSET', bodies, id, body)
  if task.till == '0' then redis.call('ZREM', ends, id) else redis.call('ZADD', ends, task.till, id) end
end

local function forget(id)
  local task = read(id)
  redis.call('ZREM', ends, id)
  if not task then return 0 end
  redis.call('HDEL', bodies, id)
  redis.call('HDEL', sealed, id)
  redis.call('HDEL', known, id)
  if redis.call('HINCRBY', owners, task.owner, -1) <= 0 then redis.call('HDEL', owners, task.owner) end
  redis.call('HINCRBY', totals, 'bytes', string.format('%d', -task.size))
  return 1
end

-- Nothing is over before it is so by our own clock: that of a node that is ahead would end the tasks of all.
local function sweep(now, most)
  local gone, time = 0, redis.call('TIME')
  now = string.format('%.0f', math.min(tonumber(now), time[1] * 1000 + math.floor(time[2] / 1000)))
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', now, 'LIMIT', 0, most)) do
    gone = gone + forget(id)
  end
  return gone
end

local function bytes() return tonumber(redis.call('HGET', totals, 'bytes') or '0') end

local act, id = ARGV[1], ARGV[2]
if act == 'load' then
  local task = read(id)
  if not task then return {} end
  local body, owner = redis.call('HGET', bodies, id), redis.call('HGET', sealed, id)
  return { task.version, task.till, body or '', owner or '' }
elseif act == 'sweep' then
  return { tostring(sweep(ARGV[3], ARGV[4])) }
elseif act == 'insert' then
  local till, size, owner, who, body, now = ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6], ARGV[7], ARGV[8]
  local most, most_of_owner, most_bytes = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
  if redis.call('HEXISTS', known, id) == 1 then return { 'exists' } end
  sweep(now, 100)
  local function full()
    if tonumber(redis.call('HGET', owners, owner) or '0') >= most_of_owner then return 'owner' end
    if redis.call('HLEN', known) >= most or bytes() + size > most_bytes then return 'full' end
  end
  local why = full()
  -- A full store looks at all that is over, however much that is.
  while why and sweep(now, 1000) > 0 do why = full() end
  if why then return { why } end
  write(id, { version = '1', till = till, size = size, owner = owner }, body)
  redis.call('HSET', sealed, id, who)
  redis.call('HINCRBY', owners, owner, 1)
  redis.call('HINCRBY', totals, 'bytes', size)
  return { 'done' }
elseif act == 'replace' then
  local till, expected, after, size, body = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6]), ARGV[7]
  local task = read(id)
  if not task or task.version ~= expected then return { 'lost' } end
  if size > task.size and bytes() - task.size + size > tonumber(ARGV[8]) then return { 'full' } end
  redis.call('HINCRBY', totals, 'bytes', size - task.size)
  task.version, task.till, task.size = after, till, size
  write(id, task, body)
  return { 'done' }
end
return redis.error_reply('ERR unknown act')
