-- KEYS: the changes, how many there were. ARGV: for how long (milliseconds), how many are kept, then
-- one sealed change each, at last whether this script was unknown.
for number = 3, #ARGV - 1 do
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'n', redis.call('INCR', KEYS[2]), 'c', ARGV[number])
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[1])
return 1
