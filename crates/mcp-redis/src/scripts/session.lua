-- KEYS: a session. ARGV: the version that it must have, its next value, for how long (milliseconds),
-- unknown. Gives nothing when there is none, an empty text when it is written, else what is there.
local kept = redis.call('GET', KEYS[1])
if not kept then return false end
if kept:sub(1, 16) ~= ARGV[1] then return kept end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return ''
