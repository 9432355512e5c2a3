-- Long texts turned about.
-- load: ok
-- call: steps|time
return function() local s = ("x"):rep(60000) while true do s = s:reverse():upper():lower() end end
