-- KEYS: which secrets the nodes have. ARGV: the names of this node's secrets, the one that it seals with first,
-- and '1' when this script was unknown.
local seals, opens = unpack(redis.call('HMGET', KEYS[1], 'seals', 'opens'))
local ours = {}
for number = 1, #ARGV - 1 do ours[ARGV[number]] = true end
local said = 'first'
if seals then
  local common = false
  for name in (opens or ''):gmatch('%S+') do common = common or ours[name] end
  if not common then return 'other' end
  -- What nodes seal that started before would not open here.
  if not ours[seals] then return 'behind' end
  local knows = (' ' .. opens .. ' '):find(' ' .. ARGV[1] .. ' ', 1, true)
  said = not knows and 'ahead' or seals ~= ARGV[1] and 'changes' or 'same'
end
redis.call('HSET', KEYS[1], 'seals', ARGV[1], 'opens', table.concat(ARGV, ' ', 1, #ARGV - 1))
return said
