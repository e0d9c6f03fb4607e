-- KEYS: a hash. ARGV: field, what is there, what is to be there, each; unknown. Gives how many were written: what
-- somebody else has written or taken out meanwhile stays as it is.
local done = 0
for number = 1, #ARGV - 3, 3 do
  if redis.call('HGET', KEYS[1], ARGV[number]) == ARGV[number + 1] then
    redis.call('HSET', KEYS[1], ARGV[number], ARGV[number + 2])
    done = done + 1
  end
end
return done
