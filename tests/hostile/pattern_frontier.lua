-- Frontiers over a long text.
-- load: ok
-- call: steps|time
return function() local s = (" a"):rep(30000) while true do s:gsub("%f[%a]", "") end end
