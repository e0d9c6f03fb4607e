-- KEYS: the events of a session, its counter of bytes.
-- ARGV: stream, event, message, most events, most bytes, for how long (milliseconds), unknown.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('XADD', KEYS[1], '*', 's', ARGV[1], 'e', ARGV[2], 'm', ARGV[3])
local bytes = redis.call('INCRBY', KEYS[2], #ARGV[3] + 64)
local events = redis.call('XLEN', KEYS[1])
-- Of the oldest, what is too many, too much or too old.
while events > 0 do
  local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
  local made = tonumber(oldest[1]:match('^(%d+)'))
  if events <= tonumber(ARGV[4]) and bytes <= tonumber(ARGV[5]) and made + tonumber(ARGV[6]) >= now then
    break
  end
  redis.call('XDEL', KEYS[1], oldest[1])
  bytes = redis.call('DECRBY', KEYS[2], #oldest[2][6] + 64)
  events = events - 1
end
redis.call('PEXPIRE', KEYS[1], ARGV[6])
redis.call('PEXPIRE', KEYS[2], ARGV[6])
return events
