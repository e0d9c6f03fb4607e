-- KEYS: what was revoked. ARGV: the version that was seen, the one to be, the text, unknown.
-- Gives '1' when it was written, '0' when somebody else was faster.
if (redis.call('HGET', KEYS[1], 'version') or '0') ~= ARGV[1] then return '0' end
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'text', ARGV[3])
return '1'
