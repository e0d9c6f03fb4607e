-- KEYS: the statement, how many this caller has used, the marker of this part of the store.
-- ARGV: until, now, how long a statement counts, how far clocks may be apart (seconds), how many a
-- caller may use, '1' where an empty Redis is believed, how far a caller's clock may be ahead, '1' when
-- this script was unknown.
local now = tonumber(redis.call('TIME')[1])
local span, apart = tonumber(ARGV[3]), tonumber(ARGV[4])
local marked = redis.call('HMGET', KEYS[3], 'since', 'run', 'evicted')
local since = marked[1]
-- Looked at each time: a master that became a replica keeps its scripts and its run, and what it has not yet
-- been told when it is the master again may have been used. Each promotion gives its replication another id.
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
  if marked[2] then redis.call('HDEL', KEYS[3], 'run') end
  return 'evicts'
end
local evicted = said('evicted_keys:')
if marked[2] ~= run or (marked[3] or '0') ~= evicted then
  local from = now
  -- One that has thrown keys away is not new.
  if not since and ARGV[6] == '1' and evicted == '0' then from = 0 end
  redis.call('HSET', KEYS[3], 'run', run, 'since', from, 'evicted', evicted)
  since = from
end
if math.abs(now - tonumber(ARGV[2])) > apart then return 'clock' end
local left = tonumber(ARGV[1]) - now
if left > span + apart then return 'long' end
if redis.call('EXISTS', KEYS[1]) == 1 then return 'before' end
-- What was signed before may have been used before, and forgotten.
if tonumber(ARGV[1]) - span < tonumber(since) + apart + tonumber(ARGV[7]) then return 'forgetful' end
local used = tonumber(redis.call('GET', KEYS[2]) or '0')
if used >= tonumber(ARGV[5]) then return 'quota' end
if not redis.call('SET', KEYS[1], '', 'NX', 'EX', math.max(left, 0) + 2 * apart + 1) then return 'before' end
redis.call('SET', KEYS[2], used + 1, 'EX', 2 * span)
return 'first'
