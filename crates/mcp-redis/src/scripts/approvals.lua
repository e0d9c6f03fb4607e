-- KEYS: the store. ARGV: the generation that was seen, the one to be, the head, how many records
-- follow, name and record each, the names to be taken out, at last whether this script was unknown.
-- Gives '1' when it was written, '0' when somebody else was faster.
if (redis.call('HGET', KEYS[1], 'generation') or '0') ~= ARGV[1] then return '0' end
local records = tonumber(ARGV[4])
redis.call('HSET', KEYS[1], 'generation', ARGV[2], 'head', ARGV[3])
for number = 0, records - 1 do
  redis.call('HSET', KEYS[1], ARGV[5 + 2 * number], ARGV[6 + 2 * number])
end
for number = 5 + 2 * records, #ARGV - 1 do
  redis.call('HDEL', KEYS[1], ARGV[number])
end
return '1'
