-- KEYS: a hash. ARGV: where to go on, unknown. Gives where to go on after, then fields with the beginnings of
-- their values: enough to see under which secret each is.
local page = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', 64)
local out = { page[1] }
for number, text in ipairs(page[2]) do
  out[#out + 1] = number % 2 == 0 and text:sub(1, 64) or text
end
return out
