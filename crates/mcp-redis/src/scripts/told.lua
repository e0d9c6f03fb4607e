-- KEYS: what was told, how much that was, its bytes. ARGV: for how long (milliseconds), how many are
-- kept, how many bytes, what is told now, unknown.
local number = redis.call('INCR', KEYS[2])
redis.call('XADD', KEYS[1], '*', 'n', number, 'c', ARGV[4])
local bytes = redis.call('INCRBY', KEYS[3], #ARGV[4] + 64)
local entries = redis.call('XLEN', KEYS[1])
while entries > tonumber(ARGV[2]) or (bytes > tonumber(ARGV[3]) and entries > 0) do
  local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
  redis.call('XDEL', KEYS[1], oldest[1])
  bytes = redis.call('DECRBY', KEYS[3], #oldest[2][4] + 64)
  entries = entries - 1
end
for key = 1, 3 do redis.call('PEXPIRE', KEYS[key], ARGV[1]) end
return number
