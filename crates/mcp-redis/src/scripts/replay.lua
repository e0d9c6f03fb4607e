-- KEYS: the statement, how many this caller has used, the marker of this part of the store.
-- ARGV: until, now, how long a statement counts, how far clocks may be apart (seconds), how many a
-- caller may use, '1' where an empty Redis is believed, how far a caller's clock may be ahead, '1' when
-- this script was unknown.
local now = tonumber(redis.call('TIME')[1])
local span, apart = tonumber(ARGV[3]), tonumber(ARGV[4])
local since = redis.call('HGET', KEYS[3], 'since')
-- Looked at each time: a master that became a replica keeps its scripts and its run, and what it has not yet
-- been told when it is the master again may have been used. Each promotion gives its replication another id.
local info = redis.call('INFO', 'server', 'replication')
local run = info:match('run_id:(%w+)') .. '.' .. info:match('master_replid:(%w+)')
local is_other = redis.call('HGET', KEYS[3], 'run') ~= run
if ARGV[8] == '1' or not since or is_other then
  local memory = redis.call('INFO', 'memory')
  if memory:match('maxmemory:(%d+)') ~= '0' and memory:match('maxmemory_policy:([%w-]+)') ~= 'noeviction' then
    return 'evicts'
  end
  if is_other then
    local from = now
    if not since and ARGV[6] == '1' then from = 0 end
    redis.call('HSET', KEYS[3], 'run', run, 'since', from)
    since = from
  end
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
