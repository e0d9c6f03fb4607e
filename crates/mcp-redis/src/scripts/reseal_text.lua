-- KEYS: a text. ARGV: what is there, what is to be there, unknown. Its end stays. Gives '1' when it was written.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return '0' end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
return '1'
