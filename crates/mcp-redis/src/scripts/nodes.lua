-- KEYS: which secrets the nodes have. ARGV: 'join' for a node, 'look' for who notes nothing, 'again' for a node
-- that notes what is gone; the names of its secrets, the one that it seals with first, and '1' when this script was unknown.
local seals, opens = unpack(redis.call('HMGET', KEYS[1], 'seals', 'opens'))
local ours = {}
for number = 2, #ARGV - 1 do ours[ARGV[number]] = true end
local said = 'first'
if seals then
  local common, knows, holds, theirs = false, false, true, {}
  for name in (opens or ''):gmatch('%S+') do
    theirs[name] = true
    common = common or ours[name]
    knows = knows or name == ARGV[2]
    holds = holds and ours[name]
  end
  if not common then return 'other' end
  -- What nodes seal that started before would not open here.
  if not ours[seals] then return 'behind' end
  -- What is sealed here they would not open. Noted, it would keep them from starting again.
  if not knows then return 'ahead' end
  -- Of two rounds that follow each other one knows all secrets of the other. Noted, a mistyped one would be what the
  -- right nodes are held against, and a round later what they would have to open.
  if not holds then
    for name in pairs(ours) do
      if not theirs[name] then return 'aside' end
    end
  end
  said = seals ~= ARGV[2] and 'changes' or 'same'
end
if ARGV[1] == 'look' then return seals and said or 'nobody' end
if ARGV[1] == 'again' and seals then return said end
redis.call('HSET', KEYS[1], 'seals', ARGV[2], 'opens', table.concat(ARGV, ' ', 2, #ARGV - 1))
return said
