#!x
--[==[ ]] ]==] local s = [[
]] .. "a\z 
 b\"" goto x ::x:: return { connect = f, f = 1,