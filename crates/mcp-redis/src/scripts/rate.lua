-- KEYS: when the allowance is full again (microseconds). ARGV: a step, all steps, unknown.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local step, all = tonumber(ARGV[1]), tonumber(ARGV[2])
local from = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
local wait = from + step - now - all
if wait > 0 then return string.format('%.0f', math.ceil(wait)) end
local left = math.ceil((from + step - now) / 1000)
redis.call('SET', KEYS[1], string.format('%.0f', from + step), 'PX', string.format('%.0f', math.max(left, 1)))
return '0'
