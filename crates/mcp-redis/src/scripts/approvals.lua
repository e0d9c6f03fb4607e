-- KEYS: the store. ARGV: the generation that was seen and its tag, the one to be and its tag, the head, how
-- many records follow, name and record each, the names to be taken out, at last whether this script was
-- unknown. Gives '1' when it was written, '0' when somebody else was faster.
local known = redis.call('HMGET', KEYS[1], 'generation', 'tag')
if (known[1] or '0') ~= ARGV[1] or (known[2] or '0') ~= ARGV[2] then return '0' end
local records = tonumber(ARGV[6])
redis.call('HSET', KEYS[1], 'generation', ARGV[3], 'tag', ARGV[4], 'head', ARGV[5])
for number = 0, records - 1 do
  redis.call('HSET', KEYS[1], ARGV[7 + 2 * number], ARGV[8 + 2 * number])
end
for number = 7 + 2 * records, #ARGV - 1 do
  redis.call('HDEL', KEYS[1], ARGV[number])
end
return '1'
