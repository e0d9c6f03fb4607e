-- Records of the embedded authorization server. KEYS: records, their ends, the marker.
-- ARGV: what to do, the time of the node, how far clocks may be apart (seconds), which beginning the
-- node knows, the one to be where there is none, for how long what was used counts (seconds), '1' where
-- an empty Redis is believed, whether this kind must not be put or changed while something may be
-- forgotten ('' or what it does), what the act needs, at last '1' when this script was unknown.
-- Gives a word, the beginning, and what was found.
local records, ends, marker = KEYS[1], KEYS[2], KEYS[3]
local act, now, apart, knows = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local time = tonumber(redis.call('TIME')[1])
local found = redis.call('HMGET', marker, 'begin', 'run', 'since', 'evicted')
local begin, since = found[1], tonumber(found[3] or '0')
-- Whoever knew another beginning knows of what is no more here: keys, grants, what was taken back.
if knows ~= '' and begin ~= knows then return { 'emptied', '' } end
-- A master that was a replica in between is in the same run, and its replication has another id.
-- Settings change in the midst of a run.
local info = redis.call('INFO', 'server', 'replication', 'memory', 'stats')
-- A plain search: a pattern that is tried at each letter of this text takes longer than all else here.
local function said(name)
  local _, last = info:find(name, 1, true)
  return info:match('^[%w-]+', last + 1)
end
local run = said('run_id:') .. '.' .. said('master_replid:')
if said('maxmemory:') ~= '0' and said('maxmemory_policy:') ~= 'noeviction' then
  -- What is thrown away until somebody sets it right is asked for by nobody.
  if found[2] then redis.call('HDEL', marker, 'run') end
  return { 'evicts', '' }
end
local evicted = said('evicted_keys:')
if math.abs(time - now) > apart then return { 'clock', '' } end
if found[2] ~= run or (found[4] or '0') ~= evicted then
  since = time
  -- One that has thrown keys away is not new.
  if not begin and ARGV[7] == '1' and evicted == '0' then since = 0 end
  begin = begin or ARGV[5]
  redis.call('HSET', marker, 'begin', begin, 'run', run, 'since', since, 'evicted', evicted)
end
local forgetful = ARGV[8] ~= '' and time < since + tonumber(ARGV[6]) + apart

local function forget(name)
  redis.call('HDEL', records, name)
  redis.call('ZREM', ends, name)
end

local function sweep(most)
  local over = redis.call('ZRANGEBYSCORE', ends, '-inf', now, 'LIMIT', 0, most)
  for _, name in ipairs(over) do forget(name) end
  return #over
end

local function there(name)
  local record = redis.call('HGET', records, name)
  if not record or tonumber(record:match('^%d+')) <= now then return nil end
  return record
end

local function put(name, record, stays)
  redis.call('HSET', records, name, record)
  redis.call('ZADD', ends, stays, name)
end

local name = ARGV[9]
if act == 'get' then
  local record = there(name)
  if record then return { 'done', begin, record } end
  return { 'no', begin }
elseif act == 'insert' then
  local record, stays, most = ARGV[10], ARGV[11], tonumber(ARGV[12])
  sweep(100)
  if there(name) then return { 'no', begin } end
  if redis.call('HEXISTS', records, name) == 0 then
    while redis.call('HLEN', records) >= most do
      if sweep(1000) == 0 then return { 'full', begin } end
    end
  end
  -- Nothing is deleted before it: a Redis that is full refuses only what a script writes first.
  put(name, record, stays)
  -- It is noted, so that what is taken back is; that it is the first nobody can say.
  if forgetful then return { 'forgetful', begin } end
  return { 'done', begin }
elseif act == 'swap' then
  local before, record, stays = ARGV[10], ARGV[11], ARGV[12]
  if forgetful then return { 'forgetful', begin } end
  if redis.call('HGET', records, name) ~= before then return { 'no', begin } end
  put(name, record, stays)
  return { 'done', begin }
elseif act == 'remove' then
  forget(name)
  return { 'done', begin }
elseif act == 'list' then
  local page = redis.call('HSCAN', records, name, 'COUNT', 100)
  local out = { 'done', begin, page[1] }
  for _, text in ipairs(page[2]) do out[#out + 1] = text end
  return out
end
return { 'unknown', begin }
